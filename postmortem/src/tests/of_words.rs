//! Run times, loaders, shells, parsers: what they say.

use super::build::{check, exit, signal};
use crate::facts::Facts;

const JAVA: &str = "Exception in thread \"main\" org.springframework.BeanCreationException: Error creating bean 'ds'\n\tat org.spring.A.b(A.java:1)\n\tat com.x.Main.main(Main.java:9)\nCaused by: com.zaxxer.PoolException: pool failed\n\tat com.zaxxer.P.q(P.java:5)\n\t... 3 more\nCaused by: java.net.ConnectException: Connection refused\n\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)\n\tat com.x.Db.open(Db.java:77)\n\t... 9 more";
const JAVA_NPE: &str = "Exception in thread \"main\" java.lang.IllegalStateException: boot\n\tat com.x.Main.main(Main.java:9)\nCaused by: java.lang.NumberFormatException: For input string: \"x\"\n\tat java.base/java.lang.Integer.parse(Integer.java:1)\n\tat com.x.Parse.port(Parse.java:31)\n\t... 1 more";
const NODE: &str = "node:net:1\n        throw x;\n        ^\n\nError: cannot start\n    at main (/app/index.js:10:9) {\n  [cause]: Error: connect ECONNREFUSED 127.0.0.1:6379\n      at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1494:16) {\n    errno: -111,\n    code: 'ECONNREFUSED',\n    address: '127.0.0.1',\n    port: 6379\n  }\n}\n\nNode.js v20";
const DOTNET: &str = "Unhandled exception. System.Exception: start failed\n ---> System.IO.DirectoryNotFoundException: Could not find a part of the path '/data/in'.\n   at System.IO.Strategies.X()\n   --- End of inner exception stack trace ---\n   at App.Main() in /src/App.cs:line 4";
const GO_NIL: &str = "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x48]\n\ngoroutine 1 [running]:\nmain.(*Store).Get(0x0)\n\t/src/store.go:12 +0x1d\nmain.main()\n\t/src/main.go:7 +0x1d\nexit status 2";
const GROUP: &str = "  + Exception Group Traceback (most recent call last):\n  |   File \"/app/a.py\", line 9, in <module>\n  |     main()\n  | ExceptionGroup: two failed (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    |   File \"/app/a.py\", line 3, in f\n    |     int(\"x\")\n    | ValueError: invalid literal for int() with base 10: 'x'\n    +---------------- 2 ----------------\n    | Traceback (most recent call last):\n    |   File \"/app/a.py\", line 5, in g\n    |     d[1]\n    | KeyError: 1\n    +------------------------------------";
const HANDLING: &str = "Traceback (most recent call last):\n  File \"/app/c.py\", line 3, in get\n    return cache[key]\nKeyError: 'user'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/app/c.py\", line 9, in <module>\n    fetch()\n  File \"/app/c.py\", line 5, in fetch\n    s.connect((\"127.0.0.1\", 9000))\nConnectionRefusedError: [Errno 111] Connection refused";

fn python(last: &str) -> String {
    format!("Traceback (most recent call last):\n  File \"/app/x.py\", line 7, in run\n    go()\n{last}")
}

fn py(last: &str) -> Facts {
    exit(1).comm("python3").err(&python(last))
}

#[test]
fn traces() {
    check(vec![
        ("Java, innermost", exit(1).err(JAVA), "connection-refused", ""),
        ("Java, with its call", exit(1).err(JAVA).call("connect", "ECONNREFUSED", "10.0.0.3:5432"), "connection-refused", "10.0.0.3:5432"),
        ("Java, plain", exit(1).err(JAVA_NPE), "uncaught-exception", "Parse.java"),
        ("Node, cause", exit(1).err(NODE), "connection-refused", "127.0.0.1:6379"),
        (".NET, inner", exit(134).err(DOTNET).call("openat", "ENOENT", "/data/in"), "not-found", "/data/in"),
        ("Go, nil", exit(2).err(GO_NIL), "panic", "store.go:12"),
        ("Go, deadlock", exit(2).err("fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/src/m.go:5 +0x1"), "deadlock", ""),
        ("Go, chain of errors", exit(1).err("2026/11/30 10:00:00 load config: open /etc/app/app.yaml: no such file or directory"), "not-found", "/etc/app/app.yaml"),
        ("Python group", exit(1).err(GROUP), "uncaught-exception", "ValueError"),
        ("Python, another way failed", exit(1).err(HANDLING), "connection-refused", ""),
        ("Python, module", py("ModuleNotFoundError: No module named 'requests'"), "missing-library", "requests"),
        ("Python, permission", py("PermissionError: [Errno 13] Permission denied: '/etc/shadow'"), "permission", "/etc/shadow"),
        ("Python, assert", py("AssertionError: no rows"), "assertion", ""),
        ("Python, memory", py("MemoryError").limit("as", 9e8, 1e9), "heap-limit", "as"),
        ("Python, name", py("socket.gaierror: [Errno -2] Name or service not known"), "name-resolution", ""),
        ("Python, timeout", py("TimeoutError: [Errno 110] Connection timed out").call("connect", "ETIMEDOUT", "10.9.9.9:80"), "timeout", "10.9.9.9:80"),
        ("Python, own class", py("app.errors.Broken: the thing"), "uncaught-exception", "app.errors.Broken"),
        ("Python, recursion", py("RecursionError: maximum recursion depth exceeded"), "stack-overflow", ""),
        ("Rust, unwrap of an OS error", exit(101).err("thread 'main' panicked at src/main.rs:9:44:\ncalled `Result::unwrap()` on an `Err` value: Os { code: 2, kind: NotFound, message: \"No such file or directory\" }\nnote: run with").call("openat", "ENOENT", "/var/lib/app/state"), "not-found", "/var/lib/app/state"),
        ("Rust, old shape", exit(101).err("thread 'main' panicked at 'boom', src/lib.rs:3:1"), "panic", "src/lib.rs"),
        ("Rust, silent", exit(101), "panic", ""),
        ("anyhow", exit(1).err("Error: cannot start\n\nCaused by:\n    0: connecting to the store\n    1: Connection refused (os error 111)").call("connect", "ECONNREFUSED", "127.0.0.1:7000"), "connection-refused", "127.0.0.1:7000"),
        ("Ruby", exit(1).err("/app/a.rb:3:in `load': key not found: \"x\" (KeyError)"), "uncaught-exception", "KeyError"),
        ("PHP memory", exit(255).err("PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes)"), "heap-limit", ""),
        ("Elixir", exit(1).err("** (RuntimeError) no port"), "uncaught-exception", "RuntimeError"),
        ("Java heap", exit(1).err("Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space\n\tat com.x.A.b(A.java:1)"), "heap-limit", ""),
        ("Java stack", exit(1).err("Exception in thread \"main\" java.lang.StackOverflowError\n\tat com.x.A.b(A.java:1)"), "stack-overflow", ""),
        ("Java class", exit(1).err("Error: Could not find or load main class com.x.Main\nCaused by: java.lang.ClassNotFoundException: com.x.Main"), "missing-library", "com.x.Main"),
        ("C++ filesystem", signal(6, -6).err("terminate called after throwing an instance of 'std::filesystem::filesystem_error'\n  what():  filesystem error: cannot open: Permission denied [/srv/x]").call("openat", "EACCES", "/srv/x"), "permission", "/srv/x"),
    ]);
}

#[test]
fn loaders_shells_and_parsers() {
    let glibc =
        "./worker: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ./worker)";
    let symbol = "worker: symbol lookup error: /usr/lib/libssl.so.3: undefined symbol: SSL_new_ex";
    check(vec![
        ("glibc version", exit(1).err(glibc), "missing-library", "GLIBC_2.38"),
        ("symbol after an upgrade", exit(127).err(symbol).change(120, "package", "libssl3 3.0.15 → 3.0.16"), "bad-upgrade", "libssl3"),
        ("soname after an upgrade", exit(127).err("./worker: error while loading shared libraries: libicuuc.so.72: cannot open shared object file: No such file or directory").change(60, "package", "libicu 72.1 → 74.2"), "bad-upgrade", "libicu"),
        ("symbol, another package changed", exit(127).err(symbol).change(120, "package", "tzdata 2025a → 2025b"), "missing-library", "SSL_new_ex"),
        ("musl loader", exit(127).err("Error loading shared library libz.so.1: No such file or directory (needed by ./worker)"), "missing-library", "libz.so.1"),
        ("bash, no command", exit(127).comm("bash").err("run.sh: line 3: frobnicate: command not found"), "not-found", "frobnicate"),
        ("dash, no command", exit(127).comm("sh").err("sh: 1: frobnicate: not found"), "not-found", "frobnicate"),
        ("bash, not executable", exit(126).comm("bash").err("bash: line 1: /opt/tool: Permission denied"), "exec-permission", "/opt/tool"),
        ("bash, not for this host", exit(126).comm("bash").err("bash: line 1: /opt/tool: cannot execute binary file: Exec format error"), "exec-format", "/opt/tool"),
        ("bad interpreter", exit(126).comm("bash").err("bash: ./x.py: /usr/bin/python9: bad interpreter: No such file or directory"), "not-found", "/usr/bin/python9"),
        ("child that never execed", exit(127).never_execed().call("execve", "ENOENT", "/opt/none"), "not-found", "/opt/none"),
        ("child without right", exit(255).never_execed().call("execve", "EACCES", "/opt/data.txt"), "exec-permission", "/opt/data.txt"),
        ("child of wrong format", exit(1).never_execed().call("execve", "ENOEXEC", "/opt/arm"), "exec-format", "/opt/arm"),
        ("systemd 203", exit(203).never_execed().unit("a.service").comm("(app)").call("execve", "ENOENT", "/usr/bin/none"), "not-found", "/usr/bin/none"),
        ("interpreter is missing", exit(203).never_execed().unit("a.service").call("execve", "ENOENT", "/opt/run.py").exists(), "not-found", "/opt/run.py"),
        ("systemd 217", exit(217).comm("(app)").unit("b.service"), "config-error", "b.service"),
        ("systemd 200", exit(200).comm("(app)").unit("b.service").call("chdir", "ENOENT", "/srv/none"), "not-found", "/srv/none"),
        ("nginx", exit(1).unit("nginx.service").err("nginx: [emerg] unknown directive \"servr\" in /etc/nginx/nginx.conf:12"), "config-error", "/etc/nginx/nginx.conf:12"),
        ("nginx upstream", exit(1).err("nginx: [emerg] host not found in upstream \"api.local\" in /etc/nginx/conf.d/a.conf:3"), "name-resolution", "api.local"),
        ("YAML", exit(1).err("error: failed to parse /etc/app.yaml: yaml: line 3: mapping values are not allowed"), "config-error", "/etc/app.yaml"),
        ("TOML", exit(1).err("Error: TOML parse error at line 3, column 5"), "config-error", ""),
        ("environment", exit(1).err("fatal: environment variable DATABASE_URL is not set"), "config-error", ""),
        ("arguments", exit(2).err("usage: worker [-h]\nworker: error: unrecognized arguments: --sevre"), "config-error", "4711"),
        ("changed file", exit(78).err("invalid value in /opt/app/worker.conf").change(30, "file", "/opt/app/worker.conf").changed_by(66, "vim"), "config-error", "/opt/app/worker.conf"),
        ("only a change", exit(1).unit("worker.service").change(30, "build", "/opt/app/worker"), "bad-upgrade", "/opt/app/worker"),
    ]);
}
