select verdict as "verdict!", reply::text as reply
from amends_barrier.enter($1)
