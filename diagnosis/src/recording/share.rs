//! Shares repeated values of a recording, as in the live process: names, and samples of idle processes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use agent_common::units::Tgid;

use crate::window::{ContainerLabels, TaskSample, Window};

/// Finds equal values in successive windows.
#[derive(Debug, Default)]
pub(super) struct Sharer {
    texts: HashSet<Arc<str>>,
    labels: HashSet<Arc<ContainerLabels>>,
    tasks: HashMap<Tgid, Arc<TaskSample>>,
}

impl Sharer {
    /// Replaces values of `window` that earlier windows have with the same object.
    pub(super) fn share(&mut self, window: &mut Window) {
        for task in &mut window.tasks {
            if let Some(same) = self.tasks.get(&task.tgid).filter(|same| *same == task) {
                *task = Arc::clone(same);
                continue;
            }
            // Fresh from the reader: no other reference exists.
            let fresh = Arc::make_mut(task);
            self.text(&mut fresh.comm);
            self.text(&mut fresh.cgroup);
            fresh.container.iter_mut().chain(&mut fresh.unit).for_each(|text| self.text(text));
            if let Some(labels) = &mut fresh.labels {
                match self.labels.get(labels) {
                    Some(known) => *labels = Arc::clone(known),
                    None => {
                        self.labels.insert(Arc::clone(labels));
                    }
                }
            }
        }
        self.tasks = window.tasks.iter().map(|task| (task.tgid, Arc::clone(task))).collect();
        let Window {
            exits,
            syscalls,
            in_flight,
            samples,
            names,
            times,
            waits,
            blockio,
            memory,
            oom_kills,
            net,
            signals,
            locks,
            ..
        } = window;
        let own = exits.iter_mut().map(|row| &mut row.comm);
        let own = own.chain(syscalls.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(in_flight.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(samples.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(names.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(memory.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(net.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(signals.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(locks.iter_mut().map(|row| &mut row.comm));
        let own = own.chain(blockio.iter_mut().flat_map(|row| [&mut row.comm, &mut row.device]));
        let own = own.chain(oom_kills.iter_mut().flat_map(|row| [&mut row.comm, &mut row.cgroup]));
        own.for_each(|text| self.text(text));
        for process in times {
            self.text(&mut process.comm);
            process.threads.iter_mut().for_each(|thread| self.text(&mut thread.comm));
        }
        for wait in waits {
            self.text(&mut wait.comm);
            wait.waker.iter_mut().for_each(|waker| self.text(&mut waker.comm));
        }
    }

    fn text(&mut self, text: &mut Arc<str>) {
        match self.texts.get(text) {
            Some(known) => *text = Arc::clone(known),
            None => {
                self.texts.insert(Arc::clone(text));
            }
        }
    }
}
