"""Nodes on other machines: who may join, with which certificates, and the door that they come through."""
