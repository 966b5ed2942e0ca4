"""Whom fail2ban itself bans: a jail of an installation over a log, in the time of its lines.

Prints an address a line.
"""
import sys

from fail2ban.client.jailreader import JailReader
from fail2ban.server.filter import Filter
from fail2ban.server.mytime import MyTime
from fail2ban.tests.dummyjail import DummyJail

directory, name, log = sys.argv[1:]
reader = JailReader(name, basedir=directory)
reader.read()
reader.getOptions()
jail = DummyJail(name)
found = Filter(jail, useDns="no")
setters = {
    "prefregex": lambda value: setattr(found, "prefRegex", value),
    "addfailregex": found.addFailRegex,
    "addignoreregex": found.addIgnoreRegex,
    "maxlines": found.setMaxLines,
    "datepattern": found.setDatePattern,
    "findtime": found.setFindTime,
    "maxretry": lambda value: found.setMaxRetry(int(value)),
}
for order in reader.convert(allow_no_files=True):
    if order[0] in ("set", "multi-set") and order[2] in setters:
        for value in order[3] if order[0] == "multi-set" else [order[3]]:
            setters[order[2]](value)
clock = Filter(jail, useDns="no")
with open(log) as lines:
    for line in lines:
        line = line.rstrip("\n")
        date = clock.dateDetector.getTime(line)
        if date:
            MyTime.setTime(date[0])
        found.processLineAndAdd(line)
banned = set()
while True:
    ticket = jail.getFailTicket()
    if not ticket:
        break
    banned.add(str(ticket.getID()))
print("\n".join(sorted(banned)))
