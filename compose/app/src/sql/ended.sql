select status as "status!", output as "output: serde_json::Value", error as "error: serde_json::Value"
from amends.sagas
where definition = $1 and key = $2 and status in ('completed', 'compensated', 'stuck')
