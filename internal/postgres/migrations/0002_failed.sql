-- Deliveries that ended badly are few, and looked for among all. The condition keeps those that were delivered, nearly all, from paying for it.
CREATE INDEX outcomes_failed ON outcomes (place, state) WHERE state IN ('dead', 'expired');
