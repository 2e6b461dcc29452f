-- Keys of one publisher, who sets up what is its own. Empty: of the operator.
ALTER TABLE api_keys ADD COLUMN publisher TEXT NOT NULL DEFAULT '';
