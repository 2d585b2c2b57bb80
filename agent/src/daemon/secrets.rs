//! Secrets that stand in the configuration, as the files that the links want.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::unistd::{Gid, Uid};

use crate::config::Config;

/// Writes a secret to a file that only `owner` (or we) can read; replaces one that is there.
pub fn write_secret(path: &Path, secret: &str, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    let tmp = path.with_extension("new");
    match std::fs::remove_file(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
    file.write_all(secret.as_bytes())?;
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid.as_raw()), Some(gid.as_raw()))?;
    }
    std::fs::rename(&tmp, path)
}

/// The file with the broker's password: the one that is named, or one made in `dir` of what stands in the URL or in
/// `mqtt.password`.
pub fn mqtt_password_file(config: &Config, dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mqtt = &config.mqtt;
    let secret = mqtt.url.as_ref().and_then(|url| url.password.as_ref());
    match (secret, &mqtt.password_file, &mqtt.password) {
        (Some(secret), _, _) | (None, None, Some(secret)) => {
            let path = dir.join("mqtt.password");
            write_secret(&path, secret, None).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Some(path))
        }
        (None, Some(file), _) => Ok(Some(file.clone())),
        (None, None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_readable_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for secret in ["first", "second"] {
            write_secret(&path, secret, None).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), secret);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_password_of_the_url_beats_the_configured_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = crate::config::Settings::defaults();
        settings.add_flag("mqtt.password", "configured", "--set");
        let config = settings.config().unwrap();
        let file = mqtt_password_file(&config, dir.path()).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "configured");
        settings.add_flag("mqtt.url", "mqtt://me:url@broker", "--mqtt");
        let config = settings.config().unwrap();
        let file = mqtt_password_file(&config, dir.path()).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "url");
    }
}
