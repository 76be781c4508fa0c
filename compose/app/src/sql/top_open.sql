select definition as "definition!", status as "status!", count(*) as "sagas!"
from amends.open_sagas
group by definition, status
order by definition, status
