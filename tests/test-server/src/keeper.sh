# Makes and runs the server in $FOLDER for as long as somebody holds the other end of our standard input: a pipe that
# the kernel closes however that process ends. $INIT and $SERVE are command lines, quoted for the shell.
#
# Standard output: the server's process id, then nothing, and its end when the server has ended. (The server holds it as
# its descriptor 3, to which it never writes.)

# A signal may end the waiting, but not what comes after it. (PIPE: nobody may be left to read the process id.)
trap : HUP INT TERM PIPE
exec 2>>"$FOLDER/log"

if eval "$INIT" </dev/null >&2; then
    eval "exec $SERVE" </dev/null 3>&1 >&2 &
    echo $!
fi
exec >&-

read -r _
[ -z "$!" ] || kill -9 $! && wait
rm -rf "$FOLDER"
