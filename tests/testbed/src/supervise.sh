# Runs "$@" and kills it as soon as standard input ends, that is: when whoever started this is gone, however it went.
# $1 is a folder that is removed then, too. Ends with the child's exit status if the child ends first.
folder=$1
shift
exec 3<&0
"$@" 3<&- </dev/null &
child=$!
{
  read -r _ <&3
  trap '' TERM
  kill -KILL "$child" 2>/dev/null
  while kill -0 "$child" 2>/dev/null; do sleep 0.02; done
  rm -rf "$folder"
} 2>/dev/null &
watcher=$!
wait "$child"
status=$?
kill -TERM "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
exit "$status"
