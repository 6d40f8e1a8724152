-- What the receiver keeps. Version 1. The page docs/reference/store.md explains it.
-- Times: *_us are microseconds; at_us is the gateway's boottime, wall_us and received_us unix time.

CREATE TABLE IF NOT EXISTS meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- One row per record key that a gateway granted us.
CREATE TABLE IF NOT EXISTS grants (
    gateway     TEXT NOT NULL,           -- from the certificate, never from a topic
    epoch       BLOB NOT NULL,
    key_id      BLOB NOT NULL,
    salt        BLOB NOT NULL,
    record_key  BLOB NOT NULL,
    core        BLOB NOT NULL,           -- the grant's core as it was signed
    certificate BLOB NOT NULL,           -- SM3 of the gateway's certificate
    received_us INTEGER NOT NULL,
    PRIMARY KEY (epoch, key_id, gateway)
) WITHOUT ROWID;

-- The certificates behind grants, for who checks a signature later.
CREATE TABLE IF NOT EXISTS certificates (
    digest      BLOB PRIMARY KEY,        -- SM3 of the DER
    signer      BLOB NOT NULL,           -- SubjectPublicKeyInfo
    der         BLOB NOT NULL
) WITHOUT ROWID;

-- One row per process start of a gateway. linked: its first record has arrived.
CREATE TABLE IF NOT EXISTS epochs (
    gateway     TEXT NOT NULL,
    epoch       BLOB NOT NULL,
    linked      INTEGER NOT NULL DEFAULT 0,
    previous    BLOB,
    last_n      INTEGER,                 -- of the previous epoch, as this one knew it
    boot        BLOB,
    at_us       INTEGER,
    first_us    INTEGER NOT NULL,        -- when we first heard of it
    PRIMARY KEY (gateway, epoch)
) WITHOUT ROWID;

-- Which n of an epoch are committed here: inclusive ranges that never touch.
CREATE TABLE IF NOT EXISTS stored_ranges (
    gateway TEXT NOT NULL,
    epoch   BLOB NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (gateway, epoch, first)
) WITHOUT ROWID;

-- One row per stored record.
CREATE TABLE IF NOT EXISTS records (
    id          INTEGER PRIMARY KEY,
    gateway     TEXT NOT NULL,
    epoch       BLOB NOT NULL,
    n           INTEGER NOT NULL,
    boot        INTEGER NOT NULL REFERENCES boots (id),
    received_us INTEGER NOT NULL,
    UNIQUE (gateway, epoch, n)
);

-- Records that bear the gateway's signature, as evidence: uplink.md, section 5, says how to check one.
CREATE TABLE IF NOT EXISTS signed_records (
    gateway   TEXT NOT NULL,
    epoch     BLOB NOT NULL,
    n         INTEGER NOT NULL,
    link      BLOB NOT NULL,             -- what the next record names
    previous  BLOB NOT NULL,             -- link of the record before; 32 zero bytes begin a chain
    signature BLOB NOT NULL,
    header    BLOB NOT NULL,
    lengths   BLOB NOT NULL,
    frame     BLOB NOT NULL,             -- the payload as it was compressed
    record    INTEGER NOT NULL REFERENCES records (id),
    PRIMARY KEY (gateway, epoch, n)
);
CREATE INDEX IF NOT EXISTS signed_records_of ON signed_records (record);

CREATE TABLE IF NOT EXISTS boots (
    id      INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    boot    BLOB NOT NULL,
    UNIQUE (gateway, boot)
);

-- Announced point tables, as they were announced (msgpack), by their SM3.
CREATE TABLE IF NOT EXISTS tables (
    digest      BLOB PRIMARY KEY,
    body        BLOB NOT NULL,
    received_us INTEGER NOT NULL
) WITHOUT ROWID;

-- The newest description of each device.
CREATE TABLE IF NOT EXISTS devices (
    gateway      TEXT NOT NULL,
    device       TEXT NOT NULL,
    number       INTEGER NOT NULL,
    name         TEXT NOT NULL,
    labels       TEXT NOT NULL,          -- JSON object
    vendor       TEXT NOT NULL,
    model        TEXT NOT NULL,
    firmware     TEXT,
    profile      TEXT NOT NULL,
    interval_us  INTEGER,
    heartbeat_us INTEGER,
    digest       BLOB NOT NULL,          -- of the table that says all this
    PRIMARY KEY (gateway, device)
) WITHOUT ROWID;

-- Points as one table has them: a new table (new unit, new conversion) makes new rows.
CREATE TABLE IF NOT EXISTS points (
    id       INTEGER PRIMARY KEY,
    gateway  TEXT NOT NULL,
    digest   BLOB NOT NULL,
    position INTEGER NOT NULL,
    device   TEXT NOT NULL,
    number   INTEGER NOT NULL,           -- of the device in its gateway
    point    TEXT NOT NULL,
    type     TEXT NOT NULL,
    unit     TEXT NOT NULL,
    class    TEXT NOT NULL,
    title    TEXT NOT NULL,
    UNIQUE (gateway, digest, position)
);

-- One row per reading. `readings` below is how to look at it.
CREATE TABLE IF NOT EXISTS reading (
    point          INTEGER NOT NULL REFERENCES points (id),
    boot           INTEGER NOT NULL REFERENCES boots (id),
    at_us          INTEGER NOT NULL,
    slot           INTEGER,
    value,                               -- engineering value; NULL where there is none to trust
    raw,                                 -- as the device gave it; TEXT above 2^63 - 1
    quality        INTEGER NOT NULL,     -- 0 good, 1 uncertain, 2 bad
    status         INTEGER NOT NULL,     -- reason * 256 + detail
    device_time_us INTEGER,
    record         INTEGER NOT NULL REFERENCES records (id)
);
CREATE INDEX IF NOT EXISTS reading_by_point ON reading (point, boot, at_us);

-- Clock fixes. A chosen fix serves the times from_us to at most to_us of its boot: the nearest one
-- that is synced, or the nearest of any state while none is.
CREATE TABLE IF NOT EXISTS clock_fixes (
    boot     INTEGER NOT NULL REFERENCES boots (id),
    at_us    INTEGER NOT NULL,
    wall_us  INTEGER NOT NULL,
    error_us INTEGER,
    state    TEXT NOT NULL,              -- synced, holdover, unsynced
    chosen   INTEGER NOT NULL,
    from_us  INTEGER,
    to_us    INTEGER,
    PRIMARY KEY (boot, at_us)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS clock_fixes_chosen ON clock_fixes (boot, from_us) WHERE chosen = 1;

CREATE TABLE IF NOT EXISTS gaps (
    gateway    TEXT NOT NULL,
    number     INTEGER NOT NULL,         -- 0: the whole gateway
    reason     TEXT NOT NULL,
    first_boot INTEGER NOT NULL REFERENCES boots (id),
    first_us   INTEGER NOT NULL,
    boot       INTEGER NOT NULL REFERENCES boots (id),
    last_us    INTEGER NOT NULL,
    looks      INTEGER,
    readings   INTEGER,
    first_slot INTEGER,
    last_slot  INTEGER,
    text       TEXT NOT NULL,
    record     INTEGER NOT NULL REFERENCES records (id)
);

CREATE TABLE IF NOT EXISTS plans (
    gateway     TEXT NOT NULL,
    number      INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    boot        INTEGER NOT NULL REFERENCES boots (id),
    start_us    INTEGER NOT NULL,
    interval_us INTEGER NOT NULL,
    readings    INTEGER NOT NULL,
    first_slot  INTEGER NOT NULL,
    record      INTEGER NOT NULL REFERENCES records (id)
);

-- Alarms of devices, and what the receiver itself must tell (source 'receiver': epoch-fork).
CREATE TABLE IF NOT EXISTS alarms (
    gateway  TEXT NOT NULL,
    number   INTEGER NOT NULL,
    point    TEXT NOT NULL,
    code     TEXT NOT NULL,
    severity INTEGER NOT NULL,
    active   INTEGER NOT NULL,
    boot     INTEGER REFERENCES boots (id),
    at_us    INTEGER,
    value    REAL,
    text     TEXT NOT NULL,
    source   TEXT NOT NULL DEFAULT 'gateway',
    record   INTEGER REFERENCES records (id)
);

CREATE TABLE IF NOT EXISTS events (
    gateway TEXT NOT NULL,
    kind    TEXT NOT NULL,
    boot    INTEGER NOT NULL REFERENCES boots (id),
    at_us   INTEGER NOT NULL,
    fields  TEXT NOT NULL,               -- JSON object
    record  INTEGER NOT NULL REFERENCES records (id)
);

-- What became of commands: one row for every state that a gateway told, refusals and local writes included.
CREATE TABLE IF NOT EXISTS command_results (
    id       INTEGER PRIMARY KEY,        -- rises with every row that is stored
    gateway  TEXT NOT NULL,
    command  BLOB NOT NULL,
    state    TEXT NOT NULL,              -- selected, accepted, ... : docs/reference/commands.md
    step     TEXT NOT NULL,
    boot     INTEGER NOT NULL REFERENCES boots (id),
    at_us    INTEGER NOT NULL,
    number   INTEGER NOT NULL,           -- of the device; 0: none of that name
    point    TEXT NOT NULL,
    value,                               -- as it was read back; NULL where nothing was
    code     TEXT NOT NULL,              -- HG-nnnn; empty when all is well
    text     TEXT NOT NULL,
    who      TEXT NOT NULL,              -- operator:NAME, local:USER, gateway
    lease_us INTEGER,                    -- what was left of the lease
    record   INTEGER NOT NULL REFERENCES records (id)
);
CREATE INDEX IF NOT EXISTS command_results_by_command ON command_results (gateway, command);

-- Items of types that this version does not know, as they came (msgpack).
CREATE TABLE IF NOT EXISTS unknown_items (
    gateway TEXT NOT NULL,
    type    INTEGER NOT NULL,
    body    BLOB NOT NULL,
    record  INTEGER NOT NULL REFERENCES records (id)
);

-- Records that wait for a grant or a table.
CREATE TABLE IF NOT EXISTS held (
    digest      BLOB PRIMARY KEY,        -- SM3 of the record
    sender      TEXT NOT NULL,           -- from the topic: whom to ask, proves nothing
    waits_for   BLOB NOT NULL,           -- epoch and key id (16 bytes), or SM3 of a table (32)
    data        BLOB NOT NULL,
    received_us INTEGER NOT NULL
) WITHOUT ROWID;

-- What was not taken, and why. gateway is set where the bytes are proved to be its own.
CREATE TABLE IF NOT EXISTS refusals (
    id          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL,           -- grant, record
    sender      TEXT NOT NULL,           -- from the topic
    gateway     TEXT,
    epoch       BLOB,
    n           INTEGER,
    code        TEXT NOT NULL,           -- HG-nnnn
    reason      TEXT NOT NULL,
    received_us INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS refusals_proved ON refusals (gateway, epoch, n) WHERE gateway IS NOT NULL;

-- Every reading with its names and its wall time, by the clock fixes known now.
CREATE VIEW IF NOT EXISTS readings AS
SELECT
    p.gateway, p.device, p.point, p.unit, p.type, p.class,
    b.boot, r.at_us,
    r.at_us - f.at_us + f.wall_us AS wall_us,   -- NULL while no fix is known
    f.state AS wall_state,                      -- only 'synced' is sure
    r.slot, r.value, r.raw, r.quality, r.status, r.device_time_us,
    p.number, c.epoch, c.n, c.received_us
FROM reading AS r
JOIN points AS p ON p.id = r.point
JOIN boots AS b ON b.id = r.boot
JOIN records AS c ON c.id = r.record
LEFT JOIN clock_fixes AS f
    ON f.boot = r.boot AND f.chosen = 1 AND r.at_us BETWEEN f.from_us AND f.to_us;

-- The same, and what their origin rests on: 'signed' by the gateway, or 'sealed' with a key that the
-- gateway and this platform have alone. proved_us: since when that is known here.
CREATE VIEW IF NOT EXISTS reading_origins AS
SELECT
    r.*,
    CASE WHEN s.n IS NULL THEN 'sealed' ELSE 'signed' END AS origin,
    r.received_us AS proved_us,
    s.signature
FROM readings AS r
LEFT JOIN signed_records AS s ON s.gateway = r.gateway AND s.epoch = r.epoch AND s.n = r.n;

-- Signed records whose predecessor is not here: between the two, nothing is proved to be complete.
CREATE VIEW IF NOT EXISTS chain_gaps AS
SELECT
    s.gateway, s.epoch, s.n AS before_n,
    (SELECT max(p.n) FROM signed_records AS p
      WHERE p.gateway = s.gateway AND p.epoch = s.epoch AND p.n < s.n) AS after_n
FROM signed_records AS s
WHERE s.previous <> zeroblob(32) AND NOT EXISTS (
    SELECT 1 FROM signed_records AS p
    WHERE p.gateway = s.gateway AND p.epoch = s.epoch AND p.n = s.n - 1
);
