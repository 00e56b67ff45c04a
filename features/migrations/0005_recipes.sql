-- Recipes put in place by the API; they go before the built-in ones of the same name.

CREATE TABLE recipes (
    name TEXT PRIMARY KEY,
    recipe TEXT,                   -- in JSON; NULL where it was taken back
    revision INTEGER NOT NULL      -- rises with every change of any recipe
) STRICT, WITHOUT ROWID;
