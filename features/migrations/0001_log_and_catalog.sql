-- What arrives live. An event never changes; archiving moves it to the history.
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    user_id TEXT NOT NULL,
    item_id TEXT,
    timestamp_us INTEGER NOT NULL,
    quantity REAL NOT NULL,
    value REAL,
    session_id TEXT,
    ranking_id TEXT,
    context TEXT NOT NULL
) STRICT;

-- The Parquet files that are the history. A file that is not named here is the remains of a killed job.
CREATE TABLE history_files (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    events INTEGER NOT NULL
) STRICT;

CREATE TABLE items (
    item_id TEXT PRIMARY KEY,
    item_type TEXT NOT NULL,
    title TEXT,
    description TEXT,
    url TEXT,
    image_url TEXT,
    price REAL,
    list_price REAL,
    stock REAL,
    visible INTEGER NOT NULL,
    published_at_us INTEGER,
    expires_at_us INTEGER,
    dimensions TEXT NOT NULL
) STRICT, WITHOUT ROWID;
