"""The benchmark: how many events a second, and where it stands beside an ordinary Faust program.

    engine        decode, engine and an in-memory store on one core, the retail pack
    worker        the worker end to end on a real broker: a backlog, the retail pack
    stock-faust   cart abandonment alone: an ordinary Faust program with a Table, and our worker, in one run

Ratios within one run are what to look at; absolute figures belong to the machine that is printed with them. Medians
over repeats. Nothing here is a test: no build fails because a machine is slow.
"""

from stream.bench.report import Report
from stream.bench.run import PARTS, run_bench

__all__ = ["PARTS", "Report", "run_bench"]
