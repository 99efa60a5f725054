"""Cases: what people expect of their policies, read from test files and asked of a scratch instance."""

from bartizan.cases.case import Case, Given
from bartizan.cases.check import Trial, trials
from bartizan.cases.read import CaseFiles, Found, Reading, case_files
from bartizan.cases.run import Outcome, outcomes

__all__ = ["Case", "CaseFiles", "Found", "Given", "Outcome", "Reading", "Trial", "case_files", "outcomes", "trials"]
