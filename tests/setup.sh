# shellcheck shell=bash
# What tests and examples need on a machine, and how to get what is missing. To be sourced; does nothing by itself.
# Fast if nothing is missing. Only Debian and Ubuntu are supported: on other systems it says what to install.

say() { printf '==> %s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Servers are in folders that only root has in PATH.
server_program() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1"; }

need_rust() {
    has cargo || PATH=${CARGO_HOME:-~/.cargo}/bin:$PATH
    has cargo || fail "there is no \`cargo\`: install Rust first, best with rustup"
}

# The components that rustup's smallest profile lacks.
need_rust_components() {
    local component missing=()
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 || missing+=("${component/#fmt/rustfmt}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    has rustup || fail "cargo has no ${missing[*]}: install them"
    say "adding to Rust: ${missing[*]}"
    rustup component add "${missing[@]}"
}

need_client_library() {
    local missing=()
    can_link || missing+=(gcc libc6-dev)
    if ! has_client_library >/dev/null; then
        has pkg-config || missing+=(pkg-config)
        missing+=(libmariadb-dev)
    fi
    install_packages "a C linker and the client library (libmariadb or libmysqlclient, found by pkg-config)" "${missing[@]}"
    say "client library: $(has_client_library)"
}

# For building libmysqlclient, which mysqlclient-sys brings as source.
need_bundled_client_library() {
    local missing=()
    has cmake || missing+=(cmake)
    has c++ || missing+=(g++)
    pkg-config --exists openssl || missing+=(libssl-dev)
    install_packages "what builds libmysqlclient (CMake, a C++ compiler, OpenSSL)" "${missing[@]}"
}

can_link() { echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - >/dev/null 2>&1; }

has_client_library() {
    local name
    for name in mysqlclient libmariadb; do
        pkg-config --exists "$name" 2>/dev/null && echo "$name $(pkg-config --modversion "$name")" && return
    done
    if [ -n "${MYSQLCLIENT_LIB_DIR:-}" ]; then
        echo "$MYSQLCLIENT_LIB_DIR"
    else
        mysql_config --libs 2>/dev/null
    fi
}

# The core packages start no service.
need_mariadb() {
    local missing=()
    server_program mariadbd >/dev/null && server_program mariadb-install-db >/dev/null || missing+=(mariadb-server-core)
    server_program my_print_defaults >/dev/null || missing+=(mariadb-client-core)
    install_packages "a MariaDB server (mariadbd, mariadb-install-db, my_print_defaults)" "${missing[@]}"
    say "MariaDB server: $(server_program mariadbd)"
}

# The core package has no plugins and no Galera, and the full one starts a service. So the two packages that have them
# are unpacked into a folder.
need_mariadb_extras() {
    local target
    [ ! -e /usr/lib/mysql/plugin/metadata_lock_info.so ] || [ ! -e /usr/lib/galera/libgalera_smm.so ] || return 0
    target=$(target_folder)/mariadb-extras || return 1
    if [ ! -e "$target" ]; then
        say "fetching MariaDB's plugins and Galera into $target"
        fetch_mariadb_extras "$target" || fail "missing: MariaDB's plugins and Galera. Install mariadb-server and galera-4"
    fi
}

# Downloads packages and unpacks them into folder $1. (A subshell, so that its end removes what it worked with.)
fetch_mariadb_extras() (
    target=$1
    has apt-get && mkdir -p "$(dirname "$target")" && work=$(mktemp -d "$target.XXXXXX") && cd "$work" || exit 1
    trap 'rm -rf "$work"' EXIT
    update_package_lists
    # A plugin belongs to the very version of the server. An old one may not be offered any more; then the newest has
    # to do.
    version=$(dpkg-query -W -f='${Version}' mariadb-server-core) || exit 1
    download=(apt-get -qq -o APT::Sandbox::User=root download galera-4)
    "${download[@]}" "mariadb-server=$version" || "${download[@]}" mariadb-server || exit 1
    for deb in *.deb; do
        dpkg-deb -x "$deb" tree || exit 1
    done
    rm -rf tree/usr/{bin,sbin,share}
    mv -T tree "$target" || [ -e "$target" ]
)

# Debian stable packages no MySQL; and beside MariaDB it couldn't be installed. So it is unpacked into a folder.
need_mysql() {
    local target
    ! installed_mysql || return 0
    target=$(target_folder)/mysql-server || return 1
    if [ ! -e "$target/usr/sbin/mysqld" ]; then
        say "fetching a MySQL server into $target"
        fetch_mysql "$target" || return 1
    fi
    say "MySQL server: $target/usr/sbin/mysqld"
}

# The system's own, unless `mysqld` is only MariaDB's old name.
installed_mysql() {
    local mysqld version
    mysqld=$(server_program mysqld) && version=$("$mysqld" --no-defaults --version 2>/dev/null) || return 1
    [[ $version != *MariaDB* ]] && say "MySQL server: $mysqld"
}

# Another release of MariaDB than the system's, `mariadb-10.5` or `mariadb-11.8`: unpacked into a folder, as MySQL is.
need_mariadb_release() {
    local target
    target=$(target_folder)/$1 || return 1
    if [ ! -e "$target/usr/sbin/mariadbd" ]; then
        say "fetching $1 into $target"
        fetch_mariadb_release "$1" "$target" || return 1
    fi
    say "MariaDB server: $target/usr/sbin/mariadbd"
}

# What runs a program of this system with the client library of a release of MariaDB, $1, and with all that this needs:
# a command line, one word a line.
with_client_library_of() {
    local folder
    folder=$(dirname "$(compgen -G "$(target_folder)/$1/usr/lib/*/libmariadb.so.3")") &&
        compgen -G "$folder/ld-linux*" && printf '%s\n' --library-path "$folder"
}

target_folder() { cargo metadata --offline --no-deps --format-version 1 | sed -E 's/.*"target_directory":"([^"]*)".*/\1/'; }

# Downloads the server with all that it needs, down to the C library, and unpacks it into folder $1. (A subshell, as
# `prepare_download` wants it.)
fetch_mysql() (
    prepare_download "$1"
    package=$(newest_package mysql-server-core "${apt[@]}")
    if [ -z "$package" ]; then
        use_debian sid
        package=$(newest_package mysql-server-core "${apt[@]}")
        [ -n "$package" ] || fail "Debian's sid has no MySQL server at present"
    fi
    download "$package"
    unpack "$1"
)

# The same for a release of MariaDB, $1, and folder $2, with its client library. The core package has no plugins, and the
# full one needs Perl and much else for what it doesn't do here: so that one is downloaded alone.
fetch_mariadb_release() (
    prepare_download "$2"
    case $1 in
        mariadb-10.5) use_debian bullseye ;;
        mariadb-11.8) use_debian trixie ;;
        *) fail "no Debian release is known to have $1" ;;
    esac
    package=$(newest_package mariadb-server-core "${apt[@]}")
    [ -n "$package" ] || fail "the mirror has no package for $1"
    download "$package" galera-4 libmariadb3
    (cd "$work/archives" && apt-get "${apt[@]}" download "${package/-core/}") || exit 1
    unpack "$2"
)

# Sets `work`, an empty folder beside folder $1, and `apt`: options that make apt-get download into it, while the system's
# own packages and package lists stay as they are. To be called in a subshell, whose end removes `work`.
prepare_download() {
    has apt-get || fail "without apt-get the server must come from you: put its programs on PATH"
    mkdir -p "$(dirname "$1")" && work=$(mktemp -d "$1.XXXXXX") || exit 1
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/{tree,lists/partial,archives/partial} && : >"$work/status" || exit 1
    # With an empty status nothing counts as installed, so everything is downloaded.
    apt=(-qq -o APT::Sandbox::User=root -o Debug::NoLocking=true -o APT::Install-Recommends=false
        -o Dir::State::status="$work/status" -o Dir::State::extended_states="$work/extended_states"
        -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
}

# From here on `apt` knows Debian's suite $1, and nothing else.
use_debian() {
    debian_source "$1" >"$work/sources.list" || exit 1
    say "from $(grep -o '[^ ]* [a-z]* main' "$work/sources.list")"
    apt+=(-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o APT::Default-Release="$1" -o Dir::State::lists="$work/lists"
        # Signatures are checked; but a mirror that is kept at some date serves as well as today's.
        -o Acquire::Check-Valid-Until=false)
    apt-get "${apt[@]}" update || exit 1
}

# Packages with all that they need.
download() {
    say "downloading $* with all that is needed"
    apt-get "${apt[@]}" install --yes --download-only "$@" || exit 1
}

# Unpacks what was downloaded into folder $1. Only what is complete gets that name.
unpack() {
    local deb
    say "unpacking $(du -sm "$work/archives" | cut -f1) MB of packages"
    for deb in "$work"/archives/*.deb; do
        dpkg-deb -x "$deb" "$work/tree" || exit 1
    done
    rm -rf "$work"/tree/usr/share/{doc,man,locale,perl,info} "$work"/tree/usr/lib/*/{perl,perl-base,gconv}
    # Another run may have been faster.
    mv -T "$work/tree" "$1" || [ -e "$1/usr/sbin" ] || fail "something is in the way at $1"
}

# The package of this name, or the newest that has a version in its name: $1, then options for apt.
newest_package() {
    local name=$1
    shift
    apt-cache "$@" search --names-only "^$name(-[0-9.]+)?\$" | cut -d' ' -f1 | sort -V | tail -n 1
}

# A source line for Debian's suite $1, at the mirror that this machine uses.
debian_source() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    mirror=$(debian_mirror)
    if [ -z "$mirror" ]; then
        # What a source offers is known only after an update.
        update_package_lists >&2
        mirror=$(debian_mirror)
    fi
    [ -n "$mirror" ] || fail "apt knows no Debian mirror: put the server's programs on PATH"
    [ -e "$keys" ] && keys="signed-by=$keys" || keys=
    echo "deb [arch=$(dpkg --print-architecture) target=Packages $keys] $mirror $1 main"
}

debian_mirror() {
    # shellcheck disable=SC2016 # apt fills it in
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 'Component: main' |
        awk '!/^cdrom:/ && !found++'
}

# $1: what it is, for people; then packages, none if nothing is missing.
install_packages() {
    local what=$1
    shift
    [ $# -gt 0 ] || return 0
    has apt-get || fail "missing: $what. Without apt-get you must install it yourself; on Debian it would be: $*"
    update_package_lists
    say "installing $*"
    as_root apt-get -qq install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" ||
        fail "missing: $what. apt-get can't install $*"
}

update_package_lists() {
    [ -z "${package_lists_updated:-}" ] || return 0
    say "updating the package lists"
    # One broken source of many need not matter here: what is missing shows at the install.
    as_root apt-get -qq update -o DPkg::Lock::Timeout=300 || say "some package lists can't be had; going on"
    package_lists_updated=yes
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    elif has sudo; then
        sudo DEBIAN_FRONTEND=noninteractive "$@"
    else
        fail "this needs root, and there is no sudo: $*"
    fi
}

# PyMySQLLock and sqlalchemy-dlock: clients that meet this crate at a lock.
need_python_client() {
    local target
    target=$(target_folder)/interop || return 1
    has_venv || install_packages "Python with virtual environments" python3-venv
    need_python_packages "$target" tests/interop/requirements.txt
}

# The same in PHP and in Ruby.
need_php_client() {
    php -m 2>/dev/null | grep -qx mysqli || install_packages "PHP with mysqli" php-cli php-mysql
}

need_ruby_client() {
    ruby -e 'require "mysql2"' 2>/dev/null || install_packages "Ruby with mysql2" ruby-mysql2
}

has_venv() { python3 -c 'import ensurepip' 2>/dev/null; }

# In the virtual environment $1, what the file $2 lists.
need_python_packages() {
    if ! cmp --quiet "$2" "$1/requirements.txt"; then
        say "installing Python packages into $1"
        python3 -m venv --clear "$1" && "$1/bin/python" -m pip install --quiet --requirement "$2" && cp "$2" "$1/requirements.txt"
    fi
}

# HAProxy and MySQL Router from Debian's sid, unpacked into a folder with all that they need, since installed ones start
# services. `bin/haproxy` and `bin/mysqlrouter` there run them with their own loader and libraries.
need_proxies() {
    local target
    target=$(target_folder)/proxies || return 1
    if [ ! -e "$target" ]; then
        say "fetching HAProxy and MySQL Router into $target"
        fetch_proxies "$target" || fail "missing: HAProxy and MySQL Router, which can't be fetched here"
    fi
}

fetch_proxies() (
    prepare_download "$1"
    use_debian sid
    download haproxy mysql-router
    mkdir "$work/tree/bin"
    for program in sbin/haproxy bin/mysqlrouter; do
        wrap_unpacked "usr/$program" >"$work/tree/bin/${program#*/}" && chmod +x "$work/tree/bin/${program#*/}" || exit 1
    done
    unpack "$1"
)

# A script that runs program $1 of the folder above its own.
wrap_unpacked() {
    cat <<END_OF_SCRIPT
#!/bin/sh
root=\$(dirname "\$0")/..
for loader in "\$root"/usr/lib/*/ld-linux*; do :; done
exec "\$loader" --library-path "\${loader%/*}:\$root/usr/lib/mysql-router" "\$root/$1" "\$@"
END_OF_SCRIPT
}
