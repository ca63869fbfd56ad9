"""The commands, as the help lists them and as they are found, without loading any of them.

What is said of each is the first sentence of its own help; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Listed(NamedTuple):
    """A command that is not loaded.

    Attributes:
        name: as typed.
        home: the module of this package, and its name there.
        purpose: the first sentence of its help.
    """

    name: str
    home: str
    purpose: str


#: All commands, by what they are for.
SECTIONS: Final[Mapping[str, tuple[Listed, ...]]] = MappingProxyType(
    {
        "Begin": (
            Listed(
                "init",
                "enrolment:init",
                "Make a profile: fresh keys in an encrypted file, and the request to be enrolled.",
            ),
            Listed(
                "enrol",
                "enrolling:enrol",
                "Enrol by an invitation: make keys here, hand in the request, show its fingerprint.",
            ),
            Listed(
                "whoami",
                "looking:whoami",
                "Show this profile: its endpoint, log and keys, and whether it can send.",
            ),
        ),
        "Send": (
            Listed(
                "send",
                "sending:send",
                "Send messages of TYPE: checked, sealed, signed, proven to be in the log.",
            ),
            Listed(
                "answer",
                "sending:answer",
                "Answer the received message HASH with one of TYPE, to its sender.",
            ),
            Listed(
                "import",
                "importing:import_",
                "Import the records of a table (.csv or .xlsx) as notices, each once, however often it is run.",
            ),
            Listed(
                "status",
                "reading:status",
                "Show how far the sent message HASH is, recipient by recipient; reads new receipts first.",
            ),
            Listed(
                "release",
                "releasing:release",
                "Sign the message draft FILE that another drafted, and send it once all who must have signed.",
            ),
            Listed(
                "withdraw",
                "withdrawing:withdraw",
                "Withdraw sent messages: the log states it, and the broker deletes their content for good.",
            ),
            Listed(
                "recall",
                "withdrawing:recall",
                "Call back a message that went to a wrong recipient, and name who has collected it already.",
            ),
            Listed(
                "notices",
                "reading:notices",
                "Read new receipts and undelivered notices about sent messages; `status` tells them by message.",
            ),
            Listed(
                "flush",
                "outbox:flush",
                "Send what the outbox holds: the same bytes again, after a crash or when the broker is back.",
            ),
            Listed(
                "outbox",
                "outbox:outbox",
                "List what waits to be sent, and what was refused, failed or was given up.",
            ),
        ),
        "Receive": (
            Listed(
                "inbox",
                "receiving:inbox",
                "Read messages that are neither accepted nor rejected yet, urgent ones first.",
            ),
            Listed(
                "work",
                "working:work",
                "Take in messages as one of several workers: each comes to one of them, and is accepted when it is "
                "done.",
            ),
            Listed(
                "backlog",
                "working:backlog",
                "List what no worker of this endpoint has accepted or rejected yet, position by position.",
            ),
            Listed(
                "fetch",
                "fetching:fetch",
                "Fetch the files that go with the message HASH: each checked, opened and written whole, or not at all.",
            ),
            Listed(
                "show",
                "reading:show_message",
                "Show the message HASH, received or sent: manifest, how far it is, and content.",
            ),
            Listed("accept", "receiving:accept", "State to the senders that these messages were taken in."),
            Listed(
                "forget",
                "receiving:forget",
                "Delete the content of received messages whose retention is over; manifests, receipts and proofs stay.",
            ),
            Listed(
                "reject", "receiving:reject", "State to its sender that the message HASH was not taken in."
            ),
            Listed(
                "list", "reading:list_messages", "List the messages that this profile holds, in log order."
            ),
            Listed(
                "conversation",
                "reading:conversation",
                "List all messages of the conversation that HASH belongs to, in log order.",
            ),
            Listed(
                "bridge",
                "bridging:bridge",
                "Relay between this endpoint and another system of this agency.",
            ),
            Listed(
                "webhook",
                "webhooks:webhook",
                "Be told by a signed HTTPS call that a box of this endpoint moved.",
            ),
        ),
        "Keep and carry": (
            Listed(
                "bundle",
                "bundling:bundle",
                "Exchange by memory stick, for a post without a line; another instance of the endpoint carries.",
            ),
            Listed(
                "backup",
                "backup:backup",
                "Keep a whole profile in one encrypted file, and restore it without sending anything twice.",
            ),
            Listed(
                "hand-back",
                "handing_back:hand_back",
                "Write what this profile posted and received from entry INDEX on, for an operator who has lost it.",
            ),
        ),
        "Trace": (
            Listed(
                "whom-to-ask",
                "asking:whom_to_ask",
                "Suggest whom to ask about a weapon: the countries of manufacture and of last import, why, and their "
                "contacts.",
            ),
            Listed(
                "trace",
                "tracing:trace",
                "Follow traces: where each stands, what is due, whom to ask next, and the chain that answers give.",
            ),
        ),
        "Look": (
            Listed(
                "directory",
                "looking:directory",
                "List who stands in the directory; those whose subject or address begins with PREFIX.",
            ),
            Listed(
                "group",
                "looking:group",
                "Show the members of the group NAME (<owner>/<name>), and who of them can receive now.",
            ),
            Listed(
                "resolve",
                "addressing:resolve",
                "Show whom names lead to: addresses, selectors, a group, or contact:COUNTRY.",
            ),
            Listed(
                "contact",
                "addressing:contact",
                "Show whom to ask about a weapon made in a COUNTRY: its points of contact, and whether somebody is "
                "there.",
            ),
            Listed(
                "types",
                "looking:types",
                "List the message types and versions that this software reads and writes.",
            ),
            Listed(
                "type",
                "looking:type_",
                "Show what a message of type NAME holds: every member by its path, as columns of a table name it.",
            ),
            Listed(
                "codes",
                "code_lists:codes",
                "Look up code lists: countries, places, makes, calibres, types, marks, grounds and all others.",
            ),
            Listed(
                "verify",
                "verifying:verify",
                "Verify the log from outside, and everything in it that concerns this profile.",
            ),
            Listed(
                "key-proof",
                "key_proofs:key_proof",
                "Prove in one file which keys an endpoint has, by paths in the trie, and verify such files.",
            ),
            Listed(
                "alarms",
                "alarming:alarms",
                "List what somebody has to look into: keys nobody here made, revocations not logged, keys that end.",
            ),
            Listed(
                "accounts",
                "accounting:accounts",
                "Look at what the broker signed that it does not hold, or refuses, and whether that is true.",
            ),
            Listed(
                "holdings",
                "comparing:holdings",
                "Write what this profile holds of the log, to be compared with what another party holds.",
            ),
            Listed(
                "compare",
                "comparing:compare_files",
                "Compare what two parties or more hold of one log, and write what contradicts itself, a file each.",
            ),
            Listed(
                "form",
                "forms:form",
                "Turn contents into the forms of other systems, and forms into contents.",
            ),
            Listed(
                "export",
                "exporting:export",
                "Write the message HASH with its proof as a bundle: it can be verified and read by whoever holds it.",
            ),
            Listed(
                "export-table",
                "importing:export_table",
                "Export notices that this profile holds as a table, by the mapping read the other way.",
            ),
            Listed(
                "assistance",
                "assisting:assistance",
                "Match needs with resources: draft requests, rank offers, agree on matches, publish an overview.",
            ),
            Listed(
                "report",
                "own_reports:report",
                "Compute figures for a report from this profile's messages, each with the messages that it counts.",
            ),
            Listed(
                "tlog-proof",
                "proving:tlog_proof",
                "Prove in one small file that a message is in the log, and verify such files.",
            ),
        ),
        "Show to a court": (
            Listed(
                "disclose",
                "disclosing:disclose",
                "State in the log that parts of the message HASH are shown to a court or auditor, and write them.",
            ),
            Listed("disclosure", "disclosing:disclosure", "Check what was disclosed."),
            Listed(
                "evidence",
                "evidencing:evidence",
                "List evidence of misbehaviour that this profile has kept; `export` and `verify` make and check a "
                "message's.",
            ),
        ),
        "Audit": (
            Listed(
                "audit",
                "auditing:audit",
                "Audit the log under a mandate: look up, mirror, verify, search, report, and list what is wrong.",
            ),
        ),
        "Govern": (
            Listed("key", "keys:key", "Make keys and look at them."),
            Listed(
                "principal",
                "enrolment:principal",
                "Profiles of governors and authorities: they sign directory statements and send no messages.",
            ),
            Listed(
                "invite",
                "enrolling:invite",
                "Invite the endpoint ADDRESS of this authority: a code by which it finds its invitation.",
            ),
            Listed(
                "approve",
                "enrolling:approve",
                "Approve an endpoint's request: compare its fingerprint, sign, publish.",
            ),
            Listed(
                "pki",
                "pki:pki",
                "Check keys of the directory against an existing national PKI, by roots that you trust.",
            ),
            Listed(
                "policy",
                "policies:policy",
                "Look at the policy: the table, what would happen by it, and what another would change.",
            ),
            Listed("draft", "drafting:draft", "Draft directory statements; then sign, pass on, publish."),
            Listed(
                "document",
                "documents:document",
                "Show, sign, merge and publish directory statements passed on as files.",
            ),
        ),
    }
)
