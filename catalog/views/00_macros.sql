-- The rules of docs/definitions.md ("IO class"), each written once; t is the threshold on |cosine|.
-- It is compared as the float32 that cosines are: 0.3 then means the same as a literal and as a double.

create or replace macro sign_beyond(x, t) as
    case when x > t::float then 1 when x < -t::float then -1 when x is not null then 0 end;

create or replace macro io_class_at(gated, cos_gate_out, cos_in_out, t) as
    case sign_beyond(cos_in_out, t)
        when 1 then
            case when not gated then 'enrichment'
                 when cos_gate_out > t::float or cos_gate_out < -t::float then 'enrichment'
                 when cos_gate_out is not null then 'conditional enrichment' end
        when -1 then
            case when not gated then 'depletion'
                 when cos_gate_out > t::float or cos_gate_out < -t::float then 'depletion'
                 when cos_gate_out is not null then 'conditional depletion' end
        when 0 then
            case when not gated then 'orthogonal output'
                 when cos_gate_out > t::float or cos_gate_out < -t::float then 'proportional change'
                 when cos_gate_out is not null then 'orthogonal output' end
    end;

create or replace macro atypical_at(cos_gate_in, cos_gate_out, cos_in_out, t) as
    case when sign_beyond(cos_gate_out, t) = 0 and sign_beyond(cos_in_out, t) = 0 then false
         else sign_beyond(cos_gate_in, t) != sign_beyond(cos_gate_out, t) * sign_beyond(cos_in_out, t)
    end;

-- post of a sample's signed byte (docs/definitions.md, "Activations"); a run of before has linear ones.
-- As integer, for the magnitude of -128 is no signed byte.
create or replace macro sampled_post(code, byte, scale) as
    case when byte = -128 then null
         when code is distinct from 'logarithmic' then (byte * scale)::float
         when byte = 0 then 0::float
         else (sign(byte) * scale * pow(2, (abs(byte::integer) - 127) / 8))::float
    end;
