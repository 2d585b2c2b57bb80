//! The files of each runtime.
//!
//! | runtime | file | has |
//! |---|---|---|
//! | Docker | `/var/lib/docker/containers/ID/config.v2.json` (or its `data-root`) | name, image, labels (of cri-dockerd: pod) |
//! | containerd, k3s | `/run/containerd/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json` | annotations of the OCI bundle |
//! | CRI-O | `/run/containers/storage/overlay-containers/ID/userdata/config.json` | the same |
//! | podman of root | `/var/lib/containers/storage/overlay-containers/containers.json` | a list with name and image |

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use agent_common::text::cleaned;
use diagnosis::window::ContainerLabels;
use opener::{Owner, Patience, Place, Workers, file};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Largest file of one container. Real ones have 5 to 60 KB.
const MAX_BYTES: u64 = 1 << 20;
/// Largest list of all containers.
const MAX_LIST_BYTES: u64 = 4 << 20;
/// Longest label: Kubernetes' names have up to 253 characters.
const MAX_CHARS: usize = 253;
/// Stands for the files of all runtimes: if they do not answer they are left alone.
const PLACE: Owner = Owner { uid: 0, place: Place::Device(u64::MAX - 1) };

const DOCKER_SETTINGS: &str = "etc/docker/daemon.json";
const DOCKER_ROOTS: [&str; 2] = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
const CONTAINERD: [&str; 2] = ["run/containerd", "run/k3s/containerd"];
/// Namespaces of containerd: of Kubernetes, of Docker, of `ctr` and nerdctl.
const CONTAINERD_NAMESPACES: [&str; 3] = ["k8s.io", "moby", "default"];
const STORAGES: [&str; 2] = ["run/containers/storage", "var/lib/containers/storage"];

static WORKERS: Workers = Workers::with_patience("containers", Patience::TABLES);

/// What is known of a container; `None` if no file is about it.
pub(crate) fn labels(root: &Path, id: &str) -> Option<ContainerLabels> {
    let (root, id) = (root.to_owned(), id.to_owned());
    WORKERS.run(PLACE, move || look(&root, &id)).ok().flatten()
}

fn look(root: &Path, id: &str) -> Option<ContainerLabels> {
    docker(root, id).or_else(|| bundle(root, id)).or_else(|| podman(root, id))
}

/// Reads a regular file of root's.
fn json<T: DeserializeOwned>(path: &Path, most: u64) -> Option<T> {
    let held = file::at(path).ok()?;
    if held.uid() != nix::unistd::geteuid().as_raw() {
        return None;
    }
    let mut text = Vec::new();
    held.reader().ok()?.take(most + 1).read_to_end(&mut text).ok()?;
    if text.len() as u64 > most {
        tracing::debug!(path = %path.display(), "a container's file is too large");
        return None;
    }
    serde_json::from_slice(&text).ok()
}

/// A label that may be shown: not empty, bounded, without control characters.
fn label(text: Option<&str>) -> Option<std::sync::Arc<str>> {
    let text = text?.trim();
    let short: String = text.chars().take(MAX_CHARS).collect();
    (!short.is_empty()).then(|| cleaned(&short).as_ref().into())
}

fn docker(root: &Path, id: &str) -> Option<ContainerLabels> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Container {
        name: Option<String>,
        config: Option<Settings>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Settings {
        image: Option<String>,
        labels: Option<HashMap<String, String>>,
    }
    #[derive(Deserialize)]
    struct Daemon {
        #[serde(rename = "data-root")]
        data_root: Option<PathBuf>,
    }
    let moved = json::<Daemon>(&root.join(DOCKER_SETTINGS), MAX_BYTES).and_then(|daemon| daemon.data_root);
    let moved = moved.filter(|path| path.is_absolute());
    let roots = moved.iter().filter_map(|path| path.strip_prefix("/").ok());
    let found: Container = roots.chain(DOCKER_ROOTS.map(Path::new)).find_map(|docker| {
        json(&root.join(docker).join("containers").join(id).join("config.v2.json"), MAX_BYTES)
    })?;
    let Settings { image, labels } = found.config.unwrap_or(Settings { image: None, labels: None });
    let labels = labels.unwrap_or_default();
    let of = |key: &str| label(labels.get(key).map(String::as_str));
    Some(ContainerLabels {
        name: of("io.kubernetes.container.name")
            .or_else(|| label(found.name.as_deref().map(|name| name.trim_start_matches('/')))),
        pod: of("io.kubernetes.pod.name"),
        namespace: of("io.kubernetes.pod.namespace"),
        image: label(image.as_deref()),
    })
}

/// The annotations of an OCI bundle: names as containerd, CRI-O and nerdctl write them.
fn bundle(root: &Path, id: &str) -> Option<ContainerLabels> {
    #[derive(Deserialize)]
    struct Bundle {
        annotations: Option<HashMap<String, String>>,
    }
    let of_containerd = CONTAINERD.iter().flat_map(|state| {
        CONTAINERD_NAMESPACES
            .map(|space| format!("{state}/io.containerd.runtime.v2.task/{space}/{id}/config.json"))
    });
    let of_storage =
        STORAGES.map(|storage| format!("{storage}/overlay-containers/{id}/userdata/config.json"));
    let found: Bundle = of_containerd.chain(of_storage).find_map(|path| json(&root.join(path), MAX_BYTES))?;
    let annotations = found.annotations?;
    let first = |keys: &[&str]| keys.iter().find_map(|key| label(annotations.get(*key).map(String::as_str)));
    let labels = ContainerLabels {
        name: first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"])
            // The container that holds a pod's namespaces has no name of its own.
            .or_else(|| {
                let kinds = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
                first(&kinds).filter(|kind| &**kind == "sandbox").map(|_| "POD".into())
            }),
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
    };
    (labels != ContainerLabels::default()).then_some(labels)
}

fn podman(root: &Path, id: &str) -> Option<ContainerLabels> {
    #[derive(Deserialize)]
    struct Container {
        id: String,
        #[serde(default)]
        names: Vec<String>,
        metadata: Option<String>,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        #[serde(rename = "image-name")]
        image: Option<String>,
        name: Option<String>,
    }
    let all: Vec<Container> = STORAGES.iter().find_map(|storage| {
        json(&root.join(storage).join("overlay-containers/containers.json"), MAX_LIST_BYTES)
    })?;
    let found = all.into_iter().find(|container| container.id == id)?;
    let metadata: Metadata =
        found.metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Some(ContainerLabels {
        name: label(metadata.name.as_deref().or(found.names.first().map(String::as_str))),
        image: label(metadata.image.as_deref()),
        ..ContainerLabels::default()
    })
}
