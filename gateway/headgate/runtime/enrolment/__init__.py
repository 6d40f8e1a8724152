"""How a box comes by its certificates, keeps its keys, and renews both before they end.

kek          the box's own key, and what it protects against
custody      private keys on disk, sealed; or in a module
papers       certificates that were taken in, as one file that is whole or the old one
judge        everything that can be wrong with what came on a USB stick (pure)
desk         what `headgate enroll` asks for: status, request, import, online
watch        expiry alarms, renewal in time, revocation lists
protocol     the words between a box and an enrolment service (pure); http, client, service speak them
"""
