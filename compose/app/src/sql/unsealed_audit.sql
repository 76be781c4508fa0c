select act_id as "act!", kind as "kind!" from amends.unsealed_audit order by act_id, kind limit 1
