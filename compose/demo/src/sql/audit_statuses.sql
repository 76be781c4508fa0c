select status as "status!", count(*) as "sagas!"
from amends.saga
where definition = $1
group by status
order by status
