use std::fs;
use std::path::Path;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn shown(labels: Option<ContainerLabels>) -> Option<[String; 4]> {
    let text = |label: Option<Arc<str>>| label.map(|label| label.to_string()).unwrap_or_default();
    let ContainerLabels { name, pod, namespace, image } = labels?;
    Some([text(name), text(pod), text(namespace), text(image)])
}

#[test]
fn each_runtime_says_who_a_container_is() {
    let docker = r#"{"StreamConfig":{},"ID":"x","Created":"2026-11-29T14:03:05Z","Name":"/web",
        "Config":{"Hostname":"h","Image":"nginx:1.25","Labels":{"maintainer":"m"}},"State":{"Running":true}}"#;
    let dockershim = r#"{"Name":"/k8s_app_web-7f_shop_uid_0","Config":{"Image":"sha256:1","Labels":{
        "io.kubernetes.container.name":"app","io.kubernetes.pod.name":"web-7f","io.kubernetes.pod.namespace":"shop"}}}"#;
    let containerd = r#"{"ociVersion":"1.0.2","process":{"args":["nginx"]},"annotations":{
        "io.kubernetes.cri.container-name":"app","io.kubernetes.cri.container-type":"container",
        "io.kubernetes.cri.image-name":"docker.io/library/nginx:1.25","io.kubernetes.cri.sandbox-name":"web-7f",
        "io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
    let sandbox = r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox",
        "io.kubernetes.cri.sandbox-name":"web-7f","io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
    let crio = r#"{"annotations":{"io.kubernetes.container.name":"app","io.kubernetes.pod.name":"web-7f",
        "io.kubernetes.pod.namespace":"shop","io.kubernetes.cri-o.ImageName":"quay.io/nginx:1"}}"#;
    let list = format!(
        r#"[{{"id":"other"}},{{"id":"{ID}","names":["web"],"image":"abc","metadata":"{{\"image-name\":\"localhost/web:2\",\"name\":\"web\"}}"}}]"#
    );
    let of_docker = format!("var/lib/docker/containers/{ID}/config.v2.json");
    for (path, text, expected) in [
        (of_docker.clone(), docker, ["web", "", "", "nginx:1.25"]),
        (of_docker, dockershim, ["app", "web-7f", "shop", "sha256:1"]),
        (
            format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"),
            containerd,
            ["app", "web-7f", "shop", "docker.io/library/nginx:1.25"],
        ),
        (
            format!("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"),
            sandbox,
            ["POD", "web-7f", "shop", ""],
        ),
        (
            format!("run/containers/storage/overlay-containers/{ID}/userdata/config.json"),
            crio,
            ["app", "web-7f", "shop", "quay.io/nginx:1"],
        ),
        (
            "var/lib/containers/storage/overlay-containers/containers.json".to_owned(),
            &*list,
            ["web", "", "", "localhost/web:2"],
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(shown(runtimes::labels(root.path(), ID)), None, "{path}: not there yet");
        write(root.path(), &path, text);
        assert_eq!(shown(runtimes::labels(root.path(), ID)).unwrap(), expected, "{path}");
    }
}

#[test]
fn docker_may_keep_its_files_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "etc/docker/daemon.json", r#"{"data-root":"/srv/docker"}"#);
    write(root.path(), &format!("srv/docker/containers/{ID}/config.v2.json"), r#"{"Name":"/db"}"#);
    assert_eq!(shown(runtimes::labels(root.path(), ID)).unwrap()[0], "db");
}

#[test]
fn what_is_hostile_is_cleaned_cut_or_left() {
    let root = tempfile::tempdir().unwrap();
    let path = format!("var/lib/docker/containers/{ID}/config.v2.json");
    write(root.path(), &path, r#"{"Name":"/a\u001b[31m\u202eb"}"#);
    assert_eq!(shown(runtimes::labels(root.path(), ID)).unwrap()[0], "a\\u{1b}[31m\\u{202e}b");
    write(root.path(), &path, &format!(r#"{{"Name":"/{}"}}"#, "x".repeat(10_000)));
    assert_eq!(shown(runtimes::labels(root.path(), ID)).unwrap()[0].len(), 253);
    for bad in
        ["", "[]", "{\"Name\":7}", &"[".repeat(100_000), &format!("{{\"Name\":\"{}\"}}", "x".repeat(2 << 20))]
    {
        write(root.path(), &path, bad);
        assert_eq!(shown(runtimes::labels(root.path(), ID)), None, "{}", &bad[..bad.len().min(20)]);
    }
    // A FIFO would be waited for.
    let full = root.path().join(&path);
    fs::remove_file(&full).unwrap();
    nix::unistd::mkfifo(&full, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(shown(runtimes::labels(root.path(), ID)), None);
}

#[test]
fn labels_come_with_a_later_window_and_a_container_without_files_is_asked_for_three_times() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &format!("var/lib/docker/containers/{ID}/config.v2.json"), r#"{"Name":"/web"}"#);
    let mut containers = Containers::below(root.path().to_owned());
    let (id, other): (Arc<str>, Arc<str>) = (ID.into(), "f".repeat(64).into());
    let name = loop {
        containers.begin();
        containers.labels(&other);
        if let Some(labels) = containers.labels(&id) {
            break labels.name.clone();
        }
        std::thread::yield_now();
    };
    assert_eq!(name.as_deref(), Some("web"));
    let begun = containers.turn;
    while containers.turn < begun + 10 * RETRY_AFTER || containers.known[&other].waits {
        containers.begin();
        assert_eq!(containers.labels(&other), None);
        std::thread::yield_now();
    }
    assert_eq!(containers.known[&other].tries, MAX_TRIES);
    for _ in 0..2 * FORGET_AFTER {
        containers.begin();
    }
    assert!(containers.known.is_empty(), "without processes they are forgotten");
}
