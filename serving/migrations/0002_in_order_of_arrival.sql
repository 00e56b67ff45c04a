-- Each ranking that is written changes the end of the tables alone, not pages all over the file: histories are called
-- by the ranking that had them first, whose name rises with time, and rankings are looked for by their name alone.

ALTER TABLE histories RENAME COLUMN hash TO name;
DROP INDEX rankings_of_user;
