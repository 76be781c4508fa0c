-- What is stored says of an attempt in how many seconds it is due, no longer when: fewer bytes.

comment on column amends.fact.next is
    'What followed: {"sends": [{"step", "op", "attempt", "in", "input"}], "due", "status", "error", "output" or "echo", "event"}; "op" is action and "attempt" 1 unless said; "in" is the seconds from this fact until the attempt counts as broken ("due" in facts of earlier versions); "due" in microseconds since 1970; "echo" says that the output is the detail';
