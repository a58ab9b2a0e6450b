# jq's own meaning of what jaq defines otherwise (the manual of jq 1.8, and jq itself: tests/jq.jsonl).

# Conversion
def tostring: if type == "string" then . else _tojson end;
def tojson: _tojson;
def @text: tostring;
def @json: _tojson;
def fromjson: _fromjson;
def tonumber: _tonumber;
def toboolean:
  if . == true or . == false then .
  elif . == "true" then true
  elif . == "false" then false
  else error("\(type) (\(_tojson)) cannot be parsed as a boolean") end;

# Paths and updates
def getpath($p): reduce $p[] as $k (.; .[$k]);
def _assign(paths; $value): reduce path(paths) as $p (.; setpath($p; $value));
def _modify(paths; update):
  reduce path(paths) as $p ([., null];
    .[0] as $x
    | [first($x | getpath($p) | update)] as $new
    | if ($new | length) == 0 then [$x, .[1] + [$p]]
      else [($x | setpath($p; $new[0])), .[1]] end)
  | .[1] as $gone
  | .[0]
  | if $gone == null then . else delpaths($gone) end;
def del(f): delpaths([path(f)]);
def to_entries: [keys_unsorted[] as $k | { key: $k, value: .[$k] }];
def from_entries:
  reduce .[] as $x ({};
    . + {
      ($x
        | if .key == null or .key == false then .name // .Name // .Key else .key end
        | if type == "string" then . else error("Cannot use \(type) (\(_tojson)) as object key") end):
      ($x | if has("value") then .value else .Value end)
    });
def with_entries(f): to_entries | map(f) | from_entries;
def paths: path(..) | select(length > 0);
def paths(f): . as $top | paths | select(. as $p | $top | getpath($p) | f);
def pick(f): . as $top | reduce path(f) as $p (null; setpath($p; $top | getpath($p)));
def walk(f): def w: if type == "object" or type == "array" then map_values(w) else . end | f; w;
def tostream: path(def r: (.[]? | r), .; r) as $p
  | getpath($p)
  | reduce path(.[]?) as $q ([$p, .]; [$p + $q]);

# Lists
def join($s):
  reduce .[] as $x (null;
    (if . == null then "" else . + $s end)
    + ($x | if type == "boolean" or type == "number" then tojson else . // "" end)) // "";
def _flatten($d):
  reduce .[] as $x ([];
    if ($x | type) == "array" and $d != 0 then . + ($x | _flatten($d - 1)) else . + [$x] end);
def flatten($d): if $d < 0 then error("flatten depth must not be negative") else _flatten($d) end;
def flatten: _flatten(-1);
def transpose: [range(0; map(length) | max // 0) as $i | [.[][$i]]];
def in(xs): . as $x | xs | has($x);
def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);
def INDEX(stream; f): reduce stream as $x ({}; .[$x | f | tostring] |= $x);
def INDEX(f): INDEX(.[]; f);
def trimstr($s): ltrimstr($s) | rtrimstr($s);
def abs: if type == "number" and . < 0 then -. elif type == "number" then .
  else error("\(type) (\(_tojson)) cannot be negated") end;
def fromstream(f):
  { x: null, e: false } as $start
  | foreach f as $i ($start;
      (if .e then $start else . end)
      | if ($i | length) == 2 then setpath(["e"]; ($i[0] | length) == 0) | setpath(["x"] + $i[0]; $i[1])
        else setpath(["e"]; ($i[0] | length) == 1) end;
      if .e then .x else empty end);
