-- Recipes put in place by the API are kept as all other definitions are, with what they were before.
INSERT INTO definitions (kind, name, version, definition, origin, put_at_us)
SELECT 'recipe', name, lower(hex(randomblob(8))), recipe, 'api', CAST(strftime('%s', 'now') AS INTEGER) * 1000000
FROM recipes WHERE recipe IS NOT NULL ORDER BY revision;

DROP TABLE recipes;
