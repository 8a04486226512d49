"""A brute-force oracle of the definition language.

It shares no code with the engine and was written from the language reference alone. It keeps every event of every user
in a list and evaluates every condition from scratch, at every instant at which a verdict could change. Slow, plain, and
therefore easy to check by eye:

    values.py        unknown, three-valued logic
    expressions.py   the expression parser and evaluator
    language.py      definitions (parsed YAML) as small records
    selection.py     which events a selector matches, their fields and keys, traits
    zones.py         local days, hours, weeks, months, years
    moment.py        the value of every feature and condition for one user at one instant
    membership.py    segments and ladders: what changes when a user is evaluated
    policy.py        what may be done about a change: cooldown, cap, holdout, consent, quiet hours, priority
    timeline.py      clocks, watermarks, due instants; `run` is the entry point

Not modelled, because test cases stay below them: the 64 exact entries per window (no panes), `max_keys`, `expired`
late events, `covered_from` (a log read from its beginning is covered).
"""
