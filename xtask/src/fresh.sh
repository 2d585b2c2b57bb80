#!/bin/bash
# Makes an empty system, runs the README's commands in it, removes it. Called by `cargo xtask test --fresh`.
# Arguments: suite, filter (may be empty). Environment: SOURCE (the checkout), FRESH (a directory for this), CARGO_HOME,
# RUSTUP_HOME. All mounts are in a mount namespace of their own: they are gone with its processes, and what is removed at
# the end is a plain directory.
set -euo pipefail
suite=$1 filter=$2
root=$FRESH/$suite
worker= namespace=

remove() {
    trap - EXIT INT TERM HUP
    if [ -n "$worker" ]; then
        # Whatever still runs in the namespace: a daemon, a test's server.
        kill -TERM "$worker" 2>/dev/null || true
        for round in 1 2 3 4 5; do
            local left=
            for process in /proc/[0-9]*; do
                if [ -n "$namespace" ] && [ "$(readlink "$process/ns/mnt" 2>/dev/null)" = "$namespace" ]; then
                    left=1
                    kill "$([ $round -lt 4 ] && echo -TERM || echo -KILL)" "${process#/proc/}" 2>/dev/null || true
                fi
            done
            [ -z "$left" ] && break
            sleep 1
        done
        wait "$worker" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$root"
    echo "==== removed $root"
}

exec 9>"$FRESH/lock"
flock -n 9 || { echo "another --fresh runs in this checkout"; exit 1; }
rm -rf --one-file-system "$root"
trap 'code=$?; remove; exit $code' EXIT
trap 'exit 130' INT TERM HUP

echo "==== an empty $suite in $root"
mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev,git --aptopt="$FRESH/apt.conf" \
    "$suite" "$root" "$FRESH/sources.list" 9>&-

# How this host reaches the registries of crates and packages: names, authorities.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    mkdir -p "$root/usr/local/share/ca-certificates"
    cp -L /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null
fi
[ ! -e /etc/pip.conf ] || cp -L /etc/pip.conf "$root/etc/"

# The checkout as it is, what git ignores left out.
mkdir -p "$root/s7mpa"
git -C "$SOURCE" ls-files -z --cached --others --exclude-standard |
    (cd "$SOURCE" && tar --null --files-from=- --ignore-failed-read -cf -) | tar -C "$root/s7mpa" -xf -
# A checkout is a repository: some checks look at the files that it lists.
git -C "$root/s7mpa" -c init.defaultBranch=main init --quiet
git -C "$root/s7mpa" add --all

# Rust as rustup installs it: the toolchain read-only, its launchers, the crates that are downloaded. Nothing that somebody
# has put beside them with `cargo install`.
mkdir -p "$root/root/.rustup" "$root/root/.cargo/bin" "$root/root/.cargo/registry"
for launcher in cargo rustc rustdoc rustup cargo-clippy clippy-driver cargo-fmt rustfmt; do
    [ ! -e "$CARGO_HOME/bin/$launcher" ] || cp -a "$CARGO_HOME/bin/$launcher" "$root/root/.cargo/bin/"
done
for settings in config config.toml; do
    [ ! -e "$CARGO_HOME/$settings" ] || cp -L "$CARGO_HOME/$settings" "$root/root/.cargo/"
done
mkdir -p "$CARGO_HOME/registry"

cat >"$root/fresh-mounts" <<'MOUNTS'
set -eu
root=$1
# A root that is no mount point has no line in /proc/mounts.
mount --bind "$root" "$root"
for tree in proc sys dev; do
    mount --rbind "/$tree" "$root/$tree"
done
mount --bind "$RUSTUP_HOME" "$root/root/.rustup"
mount -o remount,bind,ro "$root/root/.rustup"
mount --bind "$CARGO_HOME/registry" "$root/root/.cargo/registry"
shift
exec chroot "$root" "$@"
MOUNTS

cat >"$root/fresh-commands" <<'COMMANDS'
set -u
cd /s7mpa || exit 1
if [ -z "$1" ]; then
    echo "==== cargo xtask run"
    cargo xtask run &
    run=$!
    until target/release/agent report --last 5s >/tmp/report 2>/tmp/report-error; do
        kill -0 $run 2>/dev/null || { wait $run; echo "cargo xtask run ended with $? before its daemon answered"; exit 1; }
        sleep 1
    done
    echo "==== the daemon answers after $SECONDS s"
    cat /tmp/report
    # xtask, sudo and cargo stand between; the daemon is the one that is told to end.
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/exe")" = /s7mpa/target/release/agent ]; then
            kill -TERM "${process#/proc/}" 2>/dev/null
        fi
    done
    wait $run
    code=$?
    echo "==== cargo xtask run ended with $code"
    [ $code = 0 ] || exit 1
fi
echo "==== cargo xtask test $1"
cargo xtask test $1
COMMANDS

keep=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || keep+=("$name=${!name}")
done
unshare --mount --propagation private sh "$root/fresh-mounts" "$root" /usr/bin/env -i "${keep[@]}" HOME=/root TERM=dumb \
    PATH=/root/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_TERM_COLOR=never \
    RUST_BACKTRACE=1 bash /fresh-commands "$filter" </dev/null 9>&- &
worker=$!
# It is in its own namespace once it has left ours.
while namespace=$(readlink "/proc/$worker/ns/mnt") && [ "$namespace" = "$(readlink /proc/self/ns/mnt)" ]; do
    sleep 0.1
done
wait "$worker" && code=0 || code=$?
echo "==== the README's commands in an empty $suite: $([ $code = 0 ] && echo passed || echo "failed ($code)"), $SECONDS s"
exit $code
