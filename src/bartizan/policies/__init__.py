"""The shelf of policy kinds: one file each, listed here. Within a phase the list's order is the order of Envoy's chain.

To add one: copy the nearest kind's file, and add the class to KINDS where it belongs.
"""

from bartizan.policies._kind import Bucket, Fault, Fragment, IpList, Phase, Place, PolicyKind, Reference
from bartizan.policies.allow_devices import AllowDevices
from bartizan.policies.authenticate import Authenticate
from bartizan.policies.authorize import Authorize
from bartizan.policies.cors import Cors
from bartizan.policies.ip_access import IpAccess
from bartizan.policies.login import Login
from bartizan.policies.protect import Protect
from bartizan.policies.public import Public
from bartizan.policies.rate_limit import RateLimit
from bartizan.policies.require_factor import RequireFactor
from bartizan.policies.resource_policy import ResourcePolicy
from bartizan.policies.tls import Tls

KINDS: tuple[type[PolicyKind], ...] = (
    Tls,  # before there is a request
    Cors,  # preflights carry no credential
    IpAccess,  # cheap, and asks nobody who they are
    Public,  # adds no filter; says that a route needs no credential
    Login,  # adds a credential, which the next one judges
    Authenticate,  # who it is, before anything is asked about them
    AllowDevices,  # with what; cheaper than most conditions
    Authorize,  # what they may do
    ResourcePolicy,  # the same, in AWS's words; behind Authorize because it is longer
    RequireFactor,  # nobody logs in again for what they may not do anyway
    RateLimit,  # after those that refuse, so that refused requests use up nobody's limit
    Protect,  # strangers learn nothing from how much they may send
)

__all__ = ["KINDS", "Bucket", "Fault", "Fragment", "IpList", "Phase", "Place", "PolicyKind", "Reference"]
