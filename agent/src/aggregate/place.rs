//! What processes belong to: a container, a service, the host.

use std::collections::HashMap;
use std::sync::Arc;

use diagnosis::window::TaskSample;
use diagnosis::window::Window;
use profile::block::place_of;

/// The place of every process seen in `windows`, by process: the newest counts.
#[must_use]
pub fn places(windows: &[Arc<Window>]) -> HashMap<u32, Arc<str>> {
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    let mut places = HashMap::new();
    for task in windows.iter().flat_map(|window| &window.tasks) {
        let name = place(task);
        let shared = names.entry(name).or_insert_with_key(|name| name.as_str().into());
        places.insert(task.tgid.0, Arc::clone(shared));
    }
    places
}

fn place(task: &TaskSample) -> String {
    let short = task.place().short();
    if short.is_empty() { place_of(&task.cgroup, task.container.as_deref()) } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnosis::testing::task;
    use diagnosis::window::ContainerLabels;

    #[test]
    fn a_container_comes_before_a_service_and_the_newest_place_counts() {
        let of = |cgroup: &str, container: Option<&str>| {
            let container = container.map(Into::into);
            Arc::new(TaskSample { cgroup: cgroup.into(), container, ..task(7, "app", 0, 0) })
        };
        let window = |task| Arc::new(Window { tasks: vec![task], ..Window::default() });
        let seen = |tasks: Vec<Arc<TaskSample>>| {
            places(&tasks.into_iter().map(window).collect::<Vec<_>>())[&7].to_string()
        };
        assert_eq!(seen(vec![of("/system.slice/docker-x.scope", Some("0123456789abcdef"))]), "0123456789ab");
        assert_eq!(seen(vec![of("/system.slice/nginx.service/worker", None)]), "nginx.service");
        assert_eq!(seen(vec![of("/user.slice", None)]), "[host]");
        assert_eq!(seen(vec![of("/", None), of("/system.slice/a.service", None)]), "a.service");
        let labels =
            ContainerLabels { name: Some("app".into()), pod: Some("web-7f".into()), ..Default::default() };
        let named =
            |task: Arc<TaskSample>| TaskSample { labels: Some(labels.clone().into()), ..(*task).clone() };
        assert_eq!(seen(vec![named(of("/x", Some("0123456789abcdef"))).into()]), "web-7f/app");
    }
}
