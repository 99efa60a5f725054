"""Cases and invariants: what people expect of their policies, read from test files and asked of a scratch instance."""

from bartizan.cases.case import Case, Given
from bartizan.cases.check import Trial, trials
from bartizan.cases.hold import Kept, kept
from bartizan.cases.read import CaseFiles, Found, FoundInvariant, Reading, case_files
from bartizan.cases.run import Outcome, outcomes
from bartizan.cases.suspect import Judge

__all__ = [
    "Case",
    "CaseFiles",
    "Found",
    "FoundInvariant",
    "Given",
    "Judge",
    "Kept",
    "Outcome",
    "Reading",
    "Trial",
    "case_files",
    "kept",
    "outcomes",
    "trials",
]
