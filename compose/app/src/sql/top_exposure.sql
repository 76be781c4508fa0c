select service as "service!", status as "status!", count(*) as "effects!", min(started_at) as "oldest!"
from amends.exposure
group by service, status
order by service, status
