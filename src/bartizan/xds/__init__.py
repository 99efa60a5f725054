"""What Envoy is told: releases of resources, the ADS server that serves them, and how they travel from the control plane to the nodes."""

from bartizan.xds.release import Outcome, Position, Release, Resource, State, Step, resource

__all__ = ["Outcome", "Position", "Release", "Resource", "State", "Step", "resource"]
