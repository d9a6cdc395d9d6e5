-- What identifies the checkpoint of an entry.
select fingerprint from model where alias = $model
