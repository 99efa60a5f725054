"""Cases: what people expect of their policies, read from test files and asked of a scratch instance."""

from bartizan.cases.case import Case, Given
from bartizan.cases.check import Trial, trials
from bartizan.cases.read import Found, Reading, TestFiles, test_files
from bartizan.cases.run import Outcome, run

__all__ = ["Case", "Found", "Given", "Outcome", "Reading", "TestFiles", "Trial", "run", "test_files", "trials"]
