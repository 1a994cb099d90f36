"""The vendor's whole API on this machine's loopback: no token, no money, every failure on demand.

    async with running_emulator(EmulatorSettings(latency=0.1)) as emulator:
        emulator.base_url                                       # http://127.0.0.1:PORT/v1
        emulator.arm(Fault(on="submit", kind="reset_after"))    # the next submit loses its answer

`GET /emulator/ledger` lists every charge; `POST /emulator/faults` arms faults from outside.
The vendor serves `GET /prod/v2/balance` from another host; the emulator serves it itself. Other
clients find it if RUNCOMFY_SERVERLESS_API_BASE is `emulator.origin` + "/prod/v2". Prices are
invented: see catalogue.py. faults.py describes the kinds of faults.
"""

from batchgen.emulator.faults import Fault, fault_problems, parse_faults
from batchgen.emulator.server import Emulator, running_emulator
from batchgen.emulator.settings import EmulatorError, EmulatorSettings
from batchgen.emulator.store import Charge

__all__ = [
    "Charge",
    "Emulator",
    "EmulatorError",
    "EmulatorSettings",
    "Fault",
    "fault_problems",
    "parse_faults",
    "running_emulator",
]
