import { Alert, Button, Card, Code, Collapse, Group, Select, SimpleGrid, Stack, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { IconAdjustments, IconSend } from '@tabler/icons-react'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import type { Schemas } from '../../api/client'
import { ProblemNote } from '../../parts/answer'
import { Outcome } from '../../parts/outcome'
import { duration } from '../../parts/time'
import { useWays } from './ways'

const verdicts: Record<string, { outcome: string; words: string; color: string }> = {
  delivered: { outcome: 'delivered', words: 'Delivered', color: 'green' },
  would_retry: { outcome: 'retry', words: 'Would be tried again', color: 'yellow' },
  would_give_up: { outcome: 'dead', words: 'Would be given up', color: 'red' },
}

/** Test sends one request to the receiver as it is stored, and says what its answer means. Nothing of it is stored or counted. */
export function Test({ app, name, dirty }: { app: string; name: string; dirty: boolean }) {
  const ways = useWays()
  const [open, setOpen] = useState(false)
  const form = useForm({ initialValues: { event_type: '', reward_event_type: '', ymid: '', zone_id: '', request_var: '', telegram_id: '' } })
  const test = useMutation({
    mutationFn: (values: typeof form.values) => ways.test(app, name, Object.fromEntries(Object.entries(values).filter(([, value]) => value))),
  })
  if (!ways.mayTest) return null
  return (
    <Card withBorder component="section" aria-label="Test">
      <form onSubmit={form.onSubmit((values) => test.mutate(values))}>
        <Stack gap="sm">
          <Title order={2} size="h4">
            Test
          </Title>
          <Text size="sm" c="dimmed">
            One request to your server, now, whatever its lane does. It is marked as a test, stored nowhere and counted nowhere.
            {dirty && ' It sends what was saved last: save your changes first to test them.'}
          </Text>
          <Collapse expanded={open} id="test-values">
            <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }} spacing="xs">
              <TextInput label="event_type" placeholder="as the endpoint asks" {...form.getInputProps('event_type')} />
              <Select
                label="reward_event_type" placeholder="as the endpoint asks" clearable data={['valued', 'not_valued']} value={form.values.reward_event_type || null}
                onChange={(v) => form.setFieldValue('reward_event_type', v ?? '')}
              />
              <TextInput label="ymid" placeholder="made up" description="One of your own may be paid for" {...form.getInputProps('ymid')} />
              <TextInput label="zone_id" placeholder="as the endpoint asks" {...form.getInputProps('zone_id')} />
              <TextInput label="request_var" {...form.getInputProps('request_var')} />
              <TextInput label="telegram_id" inputMode="numeric" {...form.getInputProps('telegram_id')} />
            </SimpleGrid>
          </Collapse>
          <Group gap="xs">
            <Button type="submit" variant={dirty ? 'default' : 'filled'} leftSection={<IconSend size={16} aria-hidden />} loading={test.isPending}>
              Send a test
            </Button>
            <Button variant="subtle" leftSection={<IconAdjustments size={16} aria-hidden />} aria-expanded={open} aria-controls="test-values" onClick={() => setOpen(!open)}>
              Its values
            </Button>
          </Group>
          <ProblemNote error={test.error} />
          {test.data && <Result result={test.data} />}
        </Stack>
      </form>
    </Card>
  )
}

/** Result says what a test was answered, and what that means. */
function Result({ result }: { result: Schemas['TestResult'] }) {
  const { request, answer } = result
  const verdict = verdicts[result.verdict] ?? verdicts.would_retry!
  return (
    <Alert color={verdict.color} role="status" data-verdict={result.verdict} title={<Outcome of={verdict.outcome} words={`${verdict.words}, after ${duration(result.took_ms)}`} />}>
      <Stack gap="xs">
        <Text size="sm" className="foreign">
          {result.meaning.charAt(0).toUpperCase() + result.meaning.slice(1)}.
        </Text>
        {result.problems.map((p) => (
          <Text key={p.message} size="sm">
            <b>But:</b> {p.message}
          </Text>
        ))}
        <div>
          <Text size="xs" fw={600}>
            Sent
          </Text>
          <Code block className="foreign" tabIndex={0} aria-label="The request">
            {`${request.method} ${request.url}`}
            {request.headers.map((h) => `\n${h.name}: ${h.value}`).join('')}
            {request.body ? `\n\n${request.body}` : ''}
          </Code>
        </div>
        <div>
          <Text size="xs" fw={600}>
            {answer ? `Answered ${answer.status}${answer.content_type ? `, ${answer.content_type}` : ''}${answer.address ? `, from ${answer.address}` : ''}` : 'No answer came'}
          </Text>
          {answer ? (
            <Code block className="foreign" tabIndex={0} aria-label="The answer">
              {answer.body || '(it has no text)'}
              {answer.truncated ? '\n…' : ''}
            </Code>
          ) : (
            <Text size="sm" className="foreign">
              {result.error || result.phase}
            </Text>
          )}
        </div>
      </Stack>
    </Alert>
  )
}
