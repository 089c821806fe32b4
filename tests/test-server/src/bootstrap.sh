# Makes a MariaDB data folder. $1: the folder with MariaDB's SQL files; $2: the data folder; then the server's command
# line. (`mariadb-install-db` does the same, but only with programs that the system can run.)
share=$1
mkdir "$2" || exit
shift 2
{
    # A statement has a line of its own.
    printf '%s;\n' 'CREATE DATABASE mysql' 'USE mysql' 'SET @auth_root_socket = NULL'
    # The names begin with `mysql` before MariaDB 11. MariaDB 10.5 has no `sys` schema.
    for part in m*_system_tables m*_performance_tables m*_system_tables_data maria_add_gis_sp_bootstrap m*_sys_schema; do
        for file in "$share"/$part.sql; do
            [ ! -e "$file" ] || cat "$file"
        done
    done
} | "$@" --bootstrap --max-allowed-packet=8M
