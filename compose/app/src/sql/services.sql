select distinct service
from amends.definition_step
where task = 'call'
order by service
