-- Which catalog this is: a version of another one means nothing here.
CREATE TABLE catalog_name (name TEXT NOT NULL) STRICT;
INSERT INTO catalog_name VALUES (lower(hex(randomblob(8))));

-- Every change of an item, in order, written by the triggers below whoever makes it. It holds what the item was before:
-- the columns that changed as a JSON object, all of them where the item was deleted, NULL where it was new. Readers that
-- know the catalog as of a version find what changed since, and undoing from the end gives the catalog as of any version.
CREATE TABLE catalog_changes (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id TEXT NOT NULL,
    before TEXT
) STRICT;

INSERT INTO catalog_changes (item_id) SELECT item_id FROM items;

CREATE TRIGGER item_inserted AFTER INSERT ON items BEGIN
    INSERT INTO catalog_changes (item_id) VALUES (NEW.item_id);
END;

CREATE TRIGGER item_updated AFTER UPDATE ON items BEGIN
    INSERT INTO catalog_changes (item_id, before)
    SELECT NEW.item_id, json_group_object(name, old) FROM (
        SELECT 'item_type' AS name, OLD.item_type AS old WHERE OLD.item_type IS NOT NEW.item_type
        UNION ALL SELECT 'title', OLD.title WHERE OLD.title IS NOT NEW.title
        UNION ALL SELECT 'description', OLD.description WHERE OLD.description IS NOT NEW.description
        UNION ALL SELECT 'url', OLD.url WHERE OLD.url IS NOT NEW.url
        UNION ALL SELECT 'image_url', OLD.image_url WHERE OLD.image_url IS NOT NEW.image_url
        UNION ALL SELECT 'price', OLD.price WHERE OLD.price IS NOT NEW.price
        UNION ALL SELECT 'list_price', OLD.list_price WHERE OLD.list_price IS NOT NEW.list_price
        UNION ALL SELECT 'stock', OLD.stock WHERE OLD.stock IS NOT NEW.stock
        UNION ALL SELECT 'visible', OLD.visible WHERE OLD.visible IS NOT NEW.visible
        UNION ALL SELECT 'published_at_us', OLD.published_at_us WHERE OLD.published_at_us IS NOT NEW.published_at_us
        UNION ALL SELECT 'expires_at_us', OLD.expires_at_us WHERE OLD.expires_at_us IS NOT NEW.expires_at_us
        UNION ALL SELECT 'dimensions', OLD.dimensions WHERE OLD.dimensions IS NOT NEW.dimensions
    ) HAVING count(*) > 0;
END;

CREATE TRIGGER item_deleted AFTER DELETE ON items BEGIN
    INSERT INTO catalog_changes (item_id, before) VALUES (OLD.item_id, json_object(
        'item_type', OLD.item_type, 'title', OLD.title, 'description', OLD.description, 'url', OLD.url,
        'image_url', OLD.image_url, 'price', OLD.price, 'list_price', OLD.list_price, 'stock', OLD.stock,
        'visible', OLD.visible, 'published_at_us', OLD.published_at_us, 'expires_at_us', OLD.expires_at_us,
        'dimensions', OLD.dimensions
    ));
END;
