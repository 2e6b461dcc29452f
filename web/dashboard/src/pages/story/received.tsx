import { Alert, Card, Code, Group, SegmentedControl, Stack, Table, Text, Title } from '@mantine/core'
import { IconAlertTriangle, IconCheck, IconClock, IconX } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer } from '../../parts/answer'
import { Copy } from '../../parts/copy'
import { Outcome } from '../../parts/outcome'
import { When } from '../../parts/time'
import { curlOfReceived, urlOf } from './curl'
import { CopyCurl, Foreign } from './foreign'

type Verification = Schemas['Verification']

/**
 * ReceivedPart shows a received postback as it came, and why it was believed or not. id is that of its event, or its own when it was refused, for the
 * reason that the page has said already.
 */
export function ReceivedPart({ id, received, reason }: { id: string; received: Schemas['Received']; reason?: string }) {
  const { may } = useSession()
  const refused = id.startsWith('rcv_')
  const verify = useQuery({
    queryKey: ['verification', id],
    queryFn: () =>
      refused
        ? ok(api.GET('/v1/received/{received_id}/verification', { params: { path: { received_id: id } } }))
        : ok(api.GET('/v1/events/{event_id}/verification', { params: { path: { event_id: id } } })),
    enabled: may(refused ? 'verify-received' : 'verify-event') && received.method !== '',
    staleTime: Infinity,
  })
  if (!received.method) {
    return (
      <Text size="sm" c="dimmed">
        No postback came from outside: it was made here.
      </Text>
    )
  }
  return (
    <Stack gap="sm">
      {may(refused ? 'verify-received' : 'verify-event') && (
        <Answer query={verify} lines={3}>
          {(v) => <Proof v={v} reason={reason} />}
        </Answer>
      )}
      <Raw received={received} verification={verify.data} />
    </Stack>
  )
}

const strengths: Record<string, string> = {
  signed: 'signed: nobody without the key can have made or altered the fields that the signature covers',
  secret: 'secret: whoever sent it knew the secret of the URL; whoever saw one such URL could have made it',
  address: "address: it came from one of the network's addresses, and nothing else proves it",
}

/** Proof says what was looked at to believe a postback, check by check. It is judged again now, with the secrets that count now. */
function Proof({ v, reason }: { v: Verification; reason?: string }) {
  const state = v.try_later ? 'waiting' : !v.verified ? 'unverified' : v.refused ? 'refused' : 'verified'
  return (
    <Card withBorder padding="sm" component="section" aria-label="Why it was believed or refused">
      <Group gap="xs" mb={4}>
        <Title order={4} size="h6">
          {v.verified ? (v.refused ? 'Verified, and of no use' : 'Why it was believed') : 'Why it is not believed'}
        </Title>
        <Outcome of={state} words={state === 'waiting' ? 'nothing can be said now' : undefined} />
        {v.verified && <Outcome of="verified" words={v.strength} />}
      </Group>
      <Text size="sm">
        {v.title}
        {v.verified && v.strength in strengths && `, ${strengths[v.strength]}`}. {v.evidence && `Its verification rests on: ${v.evidence}.`}
      </Text>
      {reason && state === 'verified' && (
        <Alert color="green" icon={<IconCheck aria-hidden />} mt="xs" title="It would be accepted now">
          What it was refused for is mended: reprocess it, and it becomes an event.
        </Alert>
      )}
      {(v.refused || v.reason) && v.refused !== reason && (
        <Alert color="red" icon={<IconAlertTriangle aria-hidden />} mt="xs" title={String(v.refused || v.reason).replaceAll('_', ' ')}>
          <Text size="sm" className="foreign">
            {v.detail || v.checks?.find((c) => !c.passed)?.detail || 'See the checks below.'}
          </Text>
        </Alert>
      )}
      <Stack gap="xs" mt="xs" component="ol" p={0} m={0} style={{ listStyle: 'none' }}>
        {(v.checks ?? []).map((c, i) => (
          <li key={i}>
            <CheckPart check={c} />
          </li>
        ))}
      </Stack>
      <Text size="xs" c="dimmed" mt="xs">
        Judged again now, with the secrets that count now. carom would answer {v.answer_status}
        {v.answer_body && (
          <>
            {' '}
            and <span className="foreign">{v.answer_body}</span>
          </>
        )}
        .
      </Text>
    </Card>
  )
}

function CheckPart({ check: c }: { check: Schemas['Check'] }) {
  const [color, CheckIcon, words] = c.passed ? ['green', IconCheck, 'passed'] : c.later ? ['yellow', IconClock, 'nothing can be said now'] : ['red', IconX, 'failed']
  return (
    <div data-check={c.block} data-passed={c.passed}>
      <Group gap={6} wrap="nowrap" align="flex-start">
        <Text span c={color as string} aria-hidden>
          <CheckIcon size={16} style={{ verticalAlign: 'text-bottom' }} />
        </Text>
        <Text size="sm">
          <b>{words}</b>: {c.rule}
          {c.matched ? `; matched secret ${c.matched} of the source` : ''}
          {c.detail && (
            <Text span size="sm" c={c.passed ? 'dimmed' : 'red'} className="foreign">
              {' '}
              {c.detail}
            </Text>
          )}
        </Text>
      </Group>
      {c.signed && <Bytes title="What is signed" text={c.signed} />}
      {c.sent && <Bytes title="The signature that came" text={c.sent} />}
    </div>
  )
}

/** Bytes shows a text as it is, or byte by byte: what looks the same is not always signed the same. */
function Bytes({ title, text }: { title: string; text: string }) {
  const [as, setAs] = useState('text')
  return (
    <Stack gap={2} mt={4}>
      <Group gap="xs" justify="space-between">
        <Text size="xs" fw={600}>
          {title}
        </Text>
        <Group gap={4}>
          <SegmentedControl size="xs" value={as} onChange={setAs} data={[{ value: 'text', label: 'Text' }, { value: 'bytes', label: 'Bytes' }]} aria-label={`${title}: show as`} />
          <Copy text={text} what={title.toLowerCase()} />
        </Group>
      </Group>
      {as === 'text' ? <Foreign text={text} label={title} /> : <Foreign text={hex(text)} label={`${title}, byte by byte`} unbroken />}
    </Stack>
  )
}

/** hex writes text as lines of 16 bytes in UTF-8: where they begin, the bytes, and what can be shown of them. */
export function hex(text: string): string {
  const bytes = new TextEncoder().encode(text)
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.slice(at, at + 16)]
    const codes = part.map((b) => b.toString(16).padStart(2, '0')).join(' ')
    lines.push(`${at.toString(16).padStart(4, '0')}  ${codes.padEnd(47)}  ${part.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.')).join('')}`)
  }
  return lines.join('\n')
}

/** Raw is the request as it came, and its parameters one by one. */
function Raw({ received: r, verification: v }: { received: Schemas['Received']; verification?: Verification }) {
  const params = [...new URLSearchParams(r.query)]
  return (
    <Card withBorder padding="sm" component="section" aria-label="Received postback">
      <Group justify="space-between" mb={4}>
        <Title order={4} size="h6">
          Received postback
        </Title>
        <CopyCurl command={curlOfReceived(r)} masked />
      </Group>
      <Text size="xs" c="dimmed" mb={4}>
        <When at={r.at} />
        {r.client && ` from ${r.client}`}
      </Text>
      <Foreign text={`${r.method} ${urlOf(r)}`} label="Request" />
      {params.length > 0 && (
        <Table.ScrollContainer minWidth={280} type="native">
          <Table verticalSpacing={2} mt="xs" aria-label="Parameters, decoded">
            <Table.Thead>
              <Table.Tr>
                <Table.Th scope="col">Parameter</Table.Th>
                <Table.Th scope="col">Value</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {params.map(([name, value], i) => (
                <Table.Tr key={i}>
                  <Table.Th scope="row" className="mono foreign" fw={400}>
                    {name}
                  </Table.Th>
                  <Table.Td className="mono foreign">{value || <Text span size="xs" c="dimmed">empty</Text>}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {v && (v.covered?.length ?? 0) + (v.not_covered?.length ?? 0) > 0 && (
        <Text size="xs" mt="xs" component="div">
          {(v.covered?.length ?? 0) > 0 && (
            <div>
              <b>Proved</b> (nobody without the key can have altered them): {v.covered?.join(', ')}
            </div>
          )}
          {(v.not_covered?.length ?? 0) > 0 && (
            <div>
              <b>Not proved</b> (whoever saw one postback could have altered them): {v.not_covered?.join(', ')}
            </div>
          )}
        </Text>
      )}
      {(r.headers?.length ?? 0) > 0 && (
        <Foreign text={(r.headers ?? []).map((h) => `${h.name}: ${h.value}`).join('\n')} label="Headers that were kept" title />
      )}
      {r.body && <Foreign text={r.body} label={`Body${r.content_type ? `, ${r.content_type}` : ''}`} title />}
      {r.body_bytes && (
        <Text size="xs" mt="xs">
          The body is not text: <Code className="foreign">{r.body_bytes}</Code> in base64
        </Text>
      )}
    </Card>
  )
}
