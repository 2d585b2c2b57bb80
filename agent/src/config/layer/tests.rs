use super::super::SyscallTier;
use super::*;

fn file(text: &str) -> Result<Config, Vec<String>> {
    let mut settings = Settings::defaults();
    settings.add_file(Path::new("a.toml"), text);
    settings.config().map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn the_defaults_are_right() {
    let config = Settings::defaults().config().unwrap();
    assert_eq!(config.collector.rate_hz, 97);
    assert_eq!(config.socket, Path::new("/run/s7mpa/agent.sock"));
    assert!(!config.host.is_empty());
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_one() {
    let errors = file("host = \"a\"\n\n[collector]\nrate_hz = 49\nsycalls = \"off\"\n").unwrap_err();
    assert_eq!(errors, ["a.toml:5: unknown key `collector.sycalls`; did you mean `collector.syscalls`?"]);
    let errors = file("[colector]\nrate_hz = 49\n").unwrap_err();
    assert_eq!(errors, ["a.toml:1: unknown key `[colector]`; did you mean `[collector]`?"]);
}

#[test]
fn a_wrong_value_names_line_value_and_cure() {
    let errors = file("[collector]\nrate_hz = \"fast\"\n[history]\nwindows = 10\n[mqtt]\nurl = \"broker\"\n")
        .unwrap_err();
    assert_eq!(
        errors[0],
        "a.toml:2: collector.rate_hz: the text \"fast\" is not a whole number; write it without quotes"
    );
    assert_eq!(
        errors[1],
        "a.toml:4: history.windows: the number 10 is not a duration; write it as \"10s\", \"5m\", \"2h\""
    );
    assert!(
        errors[2].starts_with("a.toml:6: mqtt.url: `broker` has no scheme; write it as mqtt://"),
        "{errors:?}"
    );
}

#[test]
fn a_log_level_is_a_level_and_not_the_name_of_a_target() {
    for right in ["", "debug", "warn,agent=trace"] {
        assert!(file(&format!("[log]\nlevel = \"{right}\"\n")).is_ok(), "{right}");
    }
    for wrong in ["loud", "info,loud"] {
        let errors = file(&format!("[log]\nlevel = \"{wrong}\"\n")).unwrap_err();
        assert!(errors[0].contains("is not a log level"), "{errors:?}");
    }
}

#[test]
fn broken_toml_names_the_line() {
    let errors = file("host = \"a\"\nsocket =\n").unwrap_err();
    assert!(errors[0].starts_with("a.toml:2: "), "{errors:?}");
}

#[test]
fn the_environment_beats_the_file_and_flags_beat_both() {
    let mut settings = Settings::defaults();
    settings.add_file(Path::new("a.toml"), "[collector]\nrate_hz = 11\nprocesses = 12\nsyscalls = \"off\"\n");
    settings.add_env(
        [("S7MPA_COLLECTOR_RATE_HZ", "13"), ("S7MPA_COLLECTOR_PROCESSES", "14"), ("HOME", "/")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter(),
    );
    settings.add_flag("collector.rate_hz", "17", "--rate");
    let config = settings.config().unwrap();
    assert_eq!((config.collector.rate_hz, config.collector.processes), (17, 14));
    assert_eq!(config.collector.syscalls, SyscallTier::Off);
    let origins: Vec<String> = settings
        .iter()
        .filter(|(key, _)| key.name.starts_with("collector."))
        .map(|(_, setting)| setting.origin.to_string())
        .collect();
    assert_eq!(origins, ["--rate", "a.toml:4", "default", "S7MPA_COLLECTOR_PROCESSES"]);
}

#[test]
fn an_unknown_variable_is_named() {
    let mut settings = Settings::defaults();
    settings.add_env([("S7MPA_RATE".to_owned(), "1".to_owned())].into_iter());
    let error = settings.config().unwrap_err()[0].to_string();
    assert!(error.starts_with("S7MPA_RATE: unknown key `S7MPA_RATE`; did you mean"), "{error}");
}
