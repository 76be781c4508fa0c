select status as "status!", count(*) as "sagas!" from amends.saga group by status order by status
