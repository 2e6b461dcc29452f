import { Alert, Anchor, Button, Group, Stack, Table, Text, Title } from '@mantine/core'
import { IconAlertTriangle, IconBell, IconCheck, IconX } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { Link } from 'react-router'
import { api, ok, type Schemas } from '../../api/client'
import { useSession } from '../../api/session'
import { Answer, ProblemNote } from '../../parts/answer'
import { Outcome } from '../../parts/outcome'
import { Empty } from '../../parts/page'
import { duration, When } from '../../parts/time'
import { Wide } from '../../parts/wide'

/** Alerts is what people were told of, and by which ways. */
export function Alerts() {
  const { may } = useSession()
  const alerts = useQuery({ queryKey: ['alerts'], queryFn: () => ok(api.GET('/v1/alerts')), refetchInterval: 15_000 })
  const test = useMutation({ mutationFn: () => ok(api.POST('/v1/alerts/test')) })
  return (
    <Answer query={alerts}>
      {(list) => (
        <Stack gap="lg">
          <section aria-labelledby="channels">
            <Group justify="space-between" mb="xs">
              <Title order={2} size="h4" id="channels">
                Channels
              </Title>
              {may('test-alerts') && list.channels.length > 0 && (
                <Button variant="default" leftSection={<IconBell size={16} aria-hidden />} loading={test.isPending} onClick={() => test.mutate()}>
                  Send a test
                </Button>
              )}
            </Group>
            {list.channels.length === 0 ? (
              <Empty title="Nobody is told when something goes wrong">
                Name a way to a person where the server is started: <code>alert_email_to</code>, <code>alert_telegram_token</code> or <code>alert_slack_url</code>, and restart it. What is set now
                stands under <Anchor component={Link} to="/settings/process?q=alert" underline="always">Retention and process</Anchor>.
              </Empty>
            ) : (
              <Wide minWidth={480}>
                <Table verticalSpacing="xs" aria-label="Channels of alerts">
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th scope="col">Channel</Table.Th>
                      <Table.Th scope="col">How it stands</Table.Th>
                      <Table.Th scope="col">Last sent</Table.Th>
                      <Table.Th scope="col" ta="right">
                        Not told yet
                      </Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {list.channels.map((c) => (
                      <Table.Tr key={c.name}>
                        <Table.Td>{c.name}</Table.Td>
                        <Table.Td>
                          {c.failing_since ? (
                            <>
                              <Outcome of="fault" words="fails" /> since <When at={c.failing_since} />
                              <Text size="xs" className="foreign">
                                {c.reason}
                              </Text>
                            </>
                          ) : (
                            <Outcome of="ok" words="works" />
                          )}
                        </Table.Td>
                        <Table.Td>{c.last_sent ? <When at={c.last_sent} form="ago" /> : <Text span inherit c="dimmed">not since the start</Text>}</Table.Td>
                        <Table.Td ta="right">{c.waiting}</Table.Td>
                      </Table.Tr>
                    ))}
                  </Table.Tbody>
                </Table>
              </Wide>
            )}
            <ProblemNote error={test.error} />
            {test.data?.tests.map((t) => (
              <Alert
                key={t.channel} mt="xs" color={t.ok ? 'green' : 'red'} icon={t.ok ? <IconCheck aria-hidden /> : <IconX aria-hidden />} role="status"
                title={t.ok ? `${t.channel}: sent in ${duration(t.took_ms)}` : `${t.channel}: not sent`}
              >
                <Text size="sm" className="foreign">
                  {t.answer}
                </Text>
              </Alert>
            ))}
          </section>
          <section aria-labelledby="open">
            <Title order={2} size="h4" id="open" mb="xs">
              Open
            </Title>
            {list.open.length === 0 ? <Text size="sm" c="dimmed">Nothing is open: what lasts a while, and people ought to know, stands here.</Text> : <AlertCards list={list.open} />}
          </section>
          {list.ended.length > 0 && (
            <section aria-labelledby="ended">
              <Title order={2} size="h4" id="ended" mb="xs">
                Ended
              </Title>
              <AlertCards list={list.ended} />
            </section>
          )}
        </Stack>
      )}
    </Answer>
  )
}

function AlertCards({ list }: { list: Schemas['Alert'][] }) {
  return (
    <Stack gap="xs">
      {list.map((a) => (
        <Alert
          key={a.kind + a.subject + a.opened} color={a.ended ? 'gray' : a.severity === 'losing_money' ? 'red' : 'yellow'} icon={a.ended ? <IconCheck aria-hidden /> : <IconAlertTriangle aria-hidden />}
          title={`${a.subject}: ${a.what}`}
        >
          <Stack gap={4}>
            {a.how_much && <Text size="sm">{a.how_much}</Text>}
            {!a.ended && (
              <Text size="sm">
                <b>Next:</b> {a.next}
              </Text>
            )}
            <Text size="xs">
              Opened <When at={a.opened} />
              {a.notified && (
                <>
                  , people were told <When at={a.notified} />
                </>
              )}
              {a.ended && (
                <>
                  , ended <When at={a.ended} />
                </>
              )}
            </Text>
          </Stack>
        </Alert>
      ))}
    </Stack>
  )
}
