//! Programs that a diagnosis is tried on, all in one: `actor ROLE ARGUMENTS…`. Started under another name it has that
//! name, as the kernel sees it. Each role does one thing over and over and counts it ([`Meter::add`]). From the moment when the
//! test sets [`Meter::faulty`], the role does it in its faulty way.

mod compute;
mod disk;
mod files;
mod locks;
mod memory;
mod net;
mod peers;
mod process;
mod web;

use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tests::meter::Meter;

/// The arguments of a role.
struct Args(Vec<String>);

impl Args {
    fn text(&self, at: usize) -> &str {
        self.0.get(at).unwrap_or_else(|| panic!("argument {at} is missing: {:?}", self.0))
    }

    fn number(&self, at: usize) -> u64 {
        self.text(at).parse().expect("a number")
    }
}

/// A role: it returns when it has nothing more to do.
type Role = fn(&Args, Meter);

const ROLES: [(&str, Role); 31] = [
    ("serve", compute::serve),
    ("spin", compute::spin),
    ("barrier", compute::barrier),
    ("dispatch", compute::dispatch),
    ("chunks", disk::chunks),
    ("append", disk::append),
    ("read-direct", disk::read_direct),
    ("write-direct", disk::write_direct),
    ("mapped", disk::mapped),
    ("evict", disk::evict),
    ("journal", disk::journal),
    ("pour-file", disk::pour_file),
    ("map", memory::map),
    ("touch", memory::touch),
    ("once", locks::once),
    ("supervise", memory::supervise),
    ("hoard", memory::hoard),
    ("mutex", locks::mutex),
    ("flock", locks::flock),
    ("rename", locks::rename),
    ("invert", locks::invert),
    ("answer", net::answer),
    ("ask", net::ask),
    ("accept", net::accept),
    ("connect", net::connect),
    ("names", net::names),
    ("resolve", net::resolve),
    ("pour", process::pour),
    ("drain", process::drain),
    ("children", process::children),
    ("vfork", process::vfork),
];

/// The same: roles of decoys, of peers, of who holds what it should not, and of who is refused.
const MORE: [(&str, Role); 26] = [
    ("descriptors", process::descriptors),
    ("idle", net::idle),
    ("compile", process::compile),
    ("crunch", compute::crunch),
    ("read-paced", disk::read_paced),
    ("nginx", web::nginx),
    ("wrk", web::wrk),
    ("answer-local", peers::answer_local),
    ("ask-local", peers::ask_local),
    ("ask-patient", peers::ask_patient),
    ("ask-loop", peers::ask_loop),
    ("wait-for-one", peers::wait_for_one),
    ("keep-alive", peers::keep_alive),
    ("deadlock", peers::deadlock),
    ("shared-mutex", peers::shared_mutex),
    ("try-lock", locks::try_lock),
    ("mutual", locks::mutual),
    ("hold", locks::hold),
    ("replace", disk::replace),
    ("fill", disk::fill),
    ("leave", net::leave),
    ("serve-files", files::serve_files),
    ("read-file", files::read_file),
    ("invert-own", locks::invert_own),
    ("die-locked", peers::die_locked),
    ("remap", memory::remap),
];

fn main() {
    // SAFETY: sets a flag of this process: it is not to outlive the one that judges it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    assert!(!args.is_empty(), "actor ROLE ARGUMENTS…");
    let name = args.remove(0);
    let role = ROLES.iter().chain(&MORE).find(|(known, _)| *known == name);
    let (_, role) = role.unwrap_or_else(|| panic!("no role {name}"));
    let (args, meter) = (Args(args), Meter::own());
    // These two are started by another role, not by the test: there is no signal to wait for.
    if !matches!(&*name, "hoard" | "once") {
        rounds_a_us();
        tests::workload::ready();
    }
    role(&args, meter);
}

/// Keeps a CPU for so long, by work, not by the clock: it takes longer when it has to share the CPU.
fn compute(us: u64) {
    let mut round = 0_u64;
    while round < us * rounds_a_us() {
        round = std::hint::black_box(round + 1);
    }
}

/// How much work a microsecond is.
fn rounds_a_us() -> u64 {
    static ROUNDS: OnceLock<u64> = OnceLock::new();
    const TRIED: u64 = 4_000_000;
    *ROUNDS.get_or_init(|| {
        let start = cpu_time();
        let mut round = 0_u64;
        while round < TRIED {
            round = std::hint::black_box(round + 1);
        }
        (TRIED / cpu_time().saturating_sub(start).as_micros().max(1) as u64).max(1)
    })
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every Linux has it").into()
}

fn sleep_us(us: u64) {
    if us > 0 {
        std::thread::sleep(Duration::from_micros(us));
    }
}
