//! What a process belongs to: a container, a pod, a service.

use serde::{Deserialize, Serialize};

use crate::text::make_clean;

/// What a process belongs to. The names are those of the kubelet and cAdvisor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its container's name; the first digits of the id where no runtime's file tells the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Pod of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Kubernetes namespace of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Image of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// systemd's unit: a service, or a scope such as a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Place {
    /// Nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// For a column: `shop/web-7f/app`, `web`, `nginx.service`.
    #[must_use]
    pub fn short(&self) -> String {
        let container = [&self.namespace, &self.pod, &self.container];
        let parts: Vec<&str> = container.into_iter().flatten().map(String::as_str).collect();
        if parts.is_empty() { self.unit.clone().unwrap_or_default() } else { parts.join("/") }
    }

    /// In a sentence: `container app (pod web-7f, namespace shop)`, `unit nginx.service`.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let Some(container) = &self.container else {
            return self.unit.as_ref().map(|unit| format!("unit {unit}"));
        };
        let more: Vec<String> = [("pod", &self.pod), ("namespace", &self.namespace)]
            .into_iter()
            .filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)))
            .collect();
        let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
        Some(format!("container {container}{more}"))
    }

    pub(super) fn make_clean(&mut self) {
        let Self { container, pod, namespace, image, unit } = self;
        [container, pod, namespace, image, unit].into_iter().flatten().for_each(make_clean);
    }
}

/// What a process that a finding names belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPlace {
    /// The process.
    pub pid: u32,
    /// What it belongs to.
    #[serde(flatten)]
    pub place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_as_people_look_for_it() {
        let some = |text: &str| Some(text.to_owned());
        let unit = Place { unit: some("nginx.service"), ..Place::default() };
        assert_eq!((unit.short(), unit.in_words()), ("nginx.service".to_owned(), some("unit nginx.service")));
        let docker = Place { container: some("web"), ..Place::default() };
        assert_eq!((docker.short(), docker.in_words()), ("web".to_owned(), some("container web")));
        let pod = Place {
            container: some("app"),
            pod: some("web-7f"),
            namespace: some("shop"),
            ..Place::default()
        };
        assert_eq!(pod.short(), "shop/web-7f/app");
        assert_eq!(pod.in_words(), some("container app (pod web-7f, namespace shop)"));
        assert_eq!((Place::default().short(), Place::default().in_words()), (String::new(), None));
    }
}
