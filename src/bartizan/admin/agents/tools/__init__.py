"""The shelf of tools: a file for each thing they are about, and a line in `TOOLS`.

None answers what would happen if: neither a request that hasn't happened nor a caller who hasn't called. None changes what decides.
"""

from bartizan.admin.agents.tools import findings, proposals, requests, resources, standing
from bartizan.admin.agents.tools._kind import Agent, Answer, Takes, Tool

TOOLS: tuple[Tool, ...] = (*resources.TOOLS, *requests.TOOLS, *standing.TOOLS, *findings.TOOLS, *proposals.TOOLS)

__all__ = ["TOOLS", "Agent", "Answer", "Takes", "Tool"]
