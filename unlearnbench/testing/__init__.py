"""Checks that a plugin keeps its contract, for the test of a plugin of one's own.

    from unlearnbench.testing import check_method

    def test_it_keeps_the_contract():
        check_method(MyMethod)

Each check works on the embedded nano world, offline and in seconds, and raises
`ContractError` (an `AssertionError`) that says what is wrong and what to do.
"""

from unlearnbench.testing.attacks import check_attack
from unlearnbench.testing.contract import ContractError
from unlearnbench.testing.methods import check_method, check_wrapper, tiny_batch
from unlearnbench.testing.reports import check_report
from unlearnbench.testing.tasks import check_task

__all__ = [
    "ContractError",
    "check_attack",
    "check_method",
    "check_report",
    "check_task",
    "check_wrapper",
    "tiny_batch",
]
