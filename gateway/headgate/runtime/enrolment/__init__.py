"""How a box comes by its certificates, keeps its keys, and renews both before they end.

kek          the box's own key, and what it protects against
custody      private keys on disk, sealed; or in a module (modules finds it)
papers       certificates that were taken in, as one file that is whole or the old one
certified    what counts of them now: chain, dates, lists
bag          what lies on a stick, by content; roots: whom to trust of it; judge: everything that is wrong
             with it (all pure)
desk         what `headgate enroll` asks for: request, import; telling: how things stand; calls: by whom
concerns     what is missing and what runs out (pure); watch: alarms, renewal in time, revocation lists
qr           a request as text for a phone (pure)
protocol     the words between a box and an enrolment service (pure); http and online speak them for the
             box, server, service, tokens and hosting for the CA
"""
