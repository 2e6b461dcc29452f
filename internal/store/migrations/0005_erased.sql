-- Which rewards belong to the name that took the place of an erased user: the indexes know them under the old one.
CREATE TABLE erased (
  user   TEXT NOT NULL,
  reward INTEGER NOT NULL,
  PRIMARY KEY (user, reward)
) WITHOUT ROWID;
